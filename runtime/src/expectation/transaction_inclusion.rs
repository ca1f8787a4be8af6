//! What was submitted is in a block of every node's chain.

use std::collections::BTreeSet;

use super::Expectation;
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass, Problem};
use crate::feed::{Event, Subscription};
use crate::node::TransactionId;
use crate::scenario::Outline;
use crate::workload::{Entries, Summary, TransactionLog};

/// Every transaction that a node accepted is in a block of every node's chain by the end of settle.
/// What was submitted, rejected, included, final and lost, and how long inclusion and finality took, is in
/// the report. Brought by [`Transactions`](crate::workload::Transactions).
///
/// Is satisfied as soon as all that was planned is submitted and included: as submissions are paced over the window,
/// that is not long before its end.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
///         .with_program(FakeProgram)
///         .transactions_with(|tx| tx.rate(2).min_inclusion(0.9))
///         .with_run_duration(Duration::from_secs(60))
///         .build()?;
///     FakeDeployer::default().run(&scenario).await?;
///
///     let faulty = FakeDeployer::default().with_fault("validator-1", 0, Fault::DropTransactions);
///     let failed = faulty.run(&scenario).await.expect_err("a node in three forgets transactions");
///     assert!(failed.to_string().starts_with("TransactionInclusion failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Debug)]
pub struct TransactionInclusion {
    min_inclusion: f64,
}

impl Default for TransactionInclusion {
    fn default() -> Self {
        Self { min_inclusion: 1.0 }
    }
}

/// How many lost transactions a message lists.
const LISTED: usize = 5;

impl TransactionInclusion {
    /// Its name.
    pub(crate) const NAME: &str = "TransactionInclusion";

    /// Sets the share of accepted transactions that must be included, in (0, 1]; all by default.
    #[must_use]
    pub fn min_inclusion(mut self, share: f64) -> Self {
        self.min_inclusion = share;
        self
    }
}

impl Expectation for TransactionInclusion {
    /// Blocks since before the first submission.
    type Baseline = Subscription;

    fn name(&self) -> &str {
        Self::NAME
    }

    fn explained_by(&self) -> &'static [&'static str] {
        super::EXPLAIN_A_LOSS
    }

    fn problems(&self, _: &Outline<'_>) -> Vec<Problem> {
        if self.min_inclusion > 0.0 && self.min_inclusion <= 1.0 {
            return Vec::new();
        }
        vec![Problem::new(
            "transactions.min_inclusion",
            format!("{}, expected a share in (0, 1]", self.min_inclusion),
            "try 0.95",
        )]
    }

    async fn capture(&self, cx: &RunContext) -> Result<Subscription, Failure> {
        let (log, feed) = (cx.state::<TransactionLog>(), cx.feed().clone());
        cx.await_pending(move || log.lock().outstanding(&feed).len());
        Ok(cx.feed().subscribe())
    }

    async fn judge(&self, cx: &RunContext, mut events: Subscription) -> Result<(), Failure> {
        let log = cx.state::<TransactionLog>();
        let mut changes = cx.feed().changes();
        let settled = cx.settled();
        tokio::pin!(settled);
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Event::Block(block) => log.observe(&block),
                    Event::Finalized { id } => log.observe_final(id),
                    Event::Reorg { .. } | Event::Lagged { .. } => {}
                },
                () = &mut settled => break,
                Ok(()) = changes.changed() => if log.lock().is_done(cx.feed()) {
                    cx.satisfied(Expectation::name(self));
                }
            }
        }
        let log = log.lock();
        let summary = Summary::new(cx, &log);
        cx.report("transactions", &summary);
        if let Err(error) = log.list(cx, &summary) {
            tracing::warn!("transactions.jsonl cannot be written into {}: {error}", cx.directory().display());
        }
        self.verdict(cx, &log, &summary)
    }
}

impl TransactionInclusion {
    fn verdict(&self, cx: &RunContext, log: &Entries, summary: &Summary) -> Result<(), Failure> {
        let needed = (summary.submitted as f64 * self.min_inclusion).ceil() as u64;
        // What is in flight when a run is cut short did not have its time to land.
        if summary.included + summary.in_flight >= needed {
            return Ok(());
        }
        let listed = || summary.lost.iter().take(LISTED);
        let mut failure = Failure::new(FailureClass::Product, Self::NAME)
            .expected(format!(
                "{needed} of {} accepted transactions in a block of every node's chain within {}",
                summary.submitted,
                humantime::format_duration(cx.time_to_land())
            ))
            .seen(summary.counts())
            .seen_all(summary.latency())
            .seen_all(listed().filter_map(|id| describe(*id, log)));
        if summary.lost.len() > LISTED {
            failure = failure.seen(format!("… and {} more", summary.lost.len() - LISTED));
        }
        if let Some((id, error)) = log.rejected().next() {
            failure = failure.seen(format!("a rejection: {id}: {error}"));
        }
        let places: BTreeSet<_> =
            listed().filter_map(|id| Some(cx.log_place(log.fates.get(id)?.accepted_by()?))).collect();
        let accepted_by = summary.lost.iter().filter_map(|id| log.fates.get(id)?.accepted_by());
        let accepted_by: BTreeSet<_> = accepted_by.collect();
        let accepted_by = accepted_by.into_iter().collect::<Vec<_>>().join(", ");
        Err(places
            .into_iter()
            .chain([cx.directory().join("transactions.jsonl").display().to_string()])
            .fold(failure.seen_all(log.last_silence()), Failure::look)
            .because(format!("transactions are lost that {accepted_by} accepted"))
            .try_next("follow one lost id through the logs of the node that accepted it"))
    }
}

fn describe(id: TransactionId, log: &Entries) -> Option<String> {
    let fate = log.fates.get(&id)?;
    let fell = if fate.blocks.is_empty() {
        "never in a block"
    } else {
        "in blocks of abandoned branches or of some nodes only"
    };
    Some(format!("lost: {id}, accepted by {} in slot {}, {fell}", fate.accepted_by()?, fate.slot))
}
