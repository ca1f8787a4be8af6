//! Blocks follow each other as quickly as is asked.

use std::time::Duration;

use super::Expectation;
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass, Problem};
use crate::report::Percentiles;
use crate::scenario::Outline;

/// The time between the slots of consecutive blocks of the best chain is within bounds, at the median and
/// at the 95th percentile. Unlike [`ConsensusLiveness`](super::ConsensusLiveness) it rests on no
/// derivation: the bounds are the test's own.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::BlockInterval;
///
/// fake::in_no_time(async {
///     let within = |p50| {
///         ScenarioBuilder::with_topology(Topology::single())
///             .with_program(FakeProgram)
///             .with_expectation(BlockInterval::default().p50_at_most(p50).p95_at_most(Duration::from_secs(10)))
///             .with_run_duration(Duration::from_secs(60))
///             .build()
///     };
///     FakeDeployer::default().run(&within(Duration::from_secs(4))?).await?;
///     let failed = FakeDeployer::default().run(&within(Duration::from_secs(1))?).await.expect_err("a slot is 2 s");
///     assert!(failed.to_string().starts_with("BlockInterval failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockInterval {
    p50: Option<Duration>,
    p95: Option<Duration>,
}

impl BlockInterval {
    /// Its name.
    pub(crate) const NAME: &str = "BlockInterval";

    /// Bounds the median.
    #[must_use]
    pub fn p50_at_most(mut self, interval: Duration) -> Self {
        self.p50 = Some(interval);
        self
    }

    /// Bounds the 95th percentile.
    #[must_use]
    pub fn p95_at_most(mut self, interval: Duration) -> Self {
        self.p95 = Some(interval);
        self
    }
}

impl Expectation for BlockInterval {
    /// Height before the workloads started.
    type Baseline = u64;

    fn name(&self) -> &str {
        Self::NAME
    }

    fn explained_by(&self) -> &'static [&'static str] {
        super::EXPLAIN_A_LOSS
    }

    fn problems(&self, _: &Outline<'_>) -> Vec<Problem> {
        if self.p50.is_some() || self.p95.is_some() {
            return Vec::new();
        }
        vec![Problem::new(
            "block interval",
            "has no bound, so it would prove nothing",
            "add `.p95_at_most(…)`",
        )]
    }

    fn awaited(&self) -> bool {
        false
    }

    async fn capture(&self, cx: &RunContext) -> Result<u64, Failure> {
        Ok(cx.feed().best_height())
    }

    async fn judge(&self, cx: &RunContext, before: u64) -> Result<(), Failure> {
        cx.settled().await;
        let failure = Failure::new(FailureClass::Product, Self::NAME);
        let slot = cx.topology().consensus().slot.as_secs_f64();
        let best = cx.feed().nodes().into_iter().filter_map(|node| node.info).max_by_key(|info| info.height);
        let chain = best.map(|info| cx.feed().chain(info.tip)).unwrap_or_default();
        let newer: Vec<u64> =
            chain.iter().take_while(|block| block.height >= before).map(|block| block.slot).collect();
        let intervals = newer.windows(2).map(|pair| (pair[0] - pair[1]) as f64 * slot);
        let Some(seen) = Percentiles::of(intervals) else {
            return Err(failure.expected("two blocks at least").seen("no interval between blocks"));
        };
        cx.report("block_interval", &seen);
        let bounds = [("p50", self.p50, seen.p50), ("p95", self.p95, seen.p95)];
        let exceeded = bounds.into_iter().filter_map(|(name, bound, seen)| {
            let bound = bound.filter(|bound| seen > bound.as_secs_f64())?;
            Some(format!("{name} {seen:.1} s, over {}", humantime::format_duration(bound)))
        });
        let exceeded: Vec<_> = exceeded.collect();
        if exceeded.is_empty() {
            return Ok(());
        }
        Err(failure
            .expected("blocks to follow each other within the bounds given")
            .seen(format!("{} intervals, in seconds: {seen}", seen.count))
            .because(exceeded.join("\n"))
            .look(cx.directory().join("events.jsonl").display().to_string()))
    }
}
