//! Every node's chain grows as fast as a healthy chain is sure to.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;

use super::bound::{FALSE_FAILURES, Growth};
use super::presence::Presence;
use super::{ChainAgreement, Expectation, NoCrash, Recovery};
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass, Problem};
use crate::feed::{BlockFeed, NodeView};
use crate::scenario::{Outline, slots};
use crate::topology::Topology;

/// Over the window the chain of each node that was up throughout grew by at least the [bound](super::bound),
/// no gap between consecutive blocks was longer than the bound allows, and at the end all such nodes are
/// within `lag_allowance` blocks of the best. While nodes are down the bound counts only the stake of the
/// others.
///
/// Fails as soon as a gap is too long. Is satisfied as soon as every node grew by as much as the whole window
/// demands, and goes on judging for as long as the run does.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::ConsensusLiveness;
///
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::single())
///         .with_program(FakeProgram)
///         .with_expectation(ConsensusLiveness::default().lag_allowance(3))
///         .with_run_duration(Duration::from_secs(60))
///         .build()?;
///     FakeDeployer::default().run(&scenario).await?;
///
///     let faulty = FakeDeployer::default().with_fault("validator-0", 5, Fault::Idle);
///     let failed = faulty.run(&scenario).await.expect_err("nobody makes blocks any more");
///     assert!(failed.to_string().contains("ConsensusLiveness failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConsensusLiveness {
    lag_allowance: u64,
}

impl Default for ConsensusLiveness {
    fn default() -> Self {
        Self { lag_allowance: 2 }
    }
}

/// Slots that do not count: the one in which the capture falls, the one that still runs at the end, and
/// what a block may take to be seen.
const EDGE_SLOTS: u64 = 2;

impl ConsensusLiveness {
    /// Its name.
    pub(crate) const NAME: &str = "ConsensusLiveness";

    /// Sets how many blocks a node may be behind the best; 2 by default.
    #[must_use]
    pub fn lag_allowance(mut self, blocks: u64) -> Self {
        self.lag_allowance = blocks;
        self
    }

    /// The chance of a false failure that each clause on each node may have.
    fn alpha(topology: &Topology) -> f64 {
        FALSE_FAILURES / (2 * topology.nodes().len()) as f64
    }
}

/// Heights of all nodes at one moment.
#[derive(Debug)]
struct Heights {
    slot: u64,
    nodes: Vec<u64>,
}

/// Where everybody was before the workloads started, and who is there since.
#[derive(Debug)]
pub struct Start {
    heights: Heights,
    presence: Presence,
}

impl Heights {
    fn of(cx: &RunContext) -> Self {
        let nodes = cx.feed().nodes().iter().map(NodeView::height).collect();
        Self { slot: cx.clock().now(), nodes }
    }
}

impl Expectation for ConsensusLiveness {
    type Baseline = Start;

    fn name(&self) -> &str {
        Self::NAME
    }

    fn explained_by(&self) -> &'static [&'static str] {
        &[NoCrash::NAME, Recovery::NAME, ChainAgreement::NAME]
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let consensus = outline.topology.consensus();
        let needed = outline.growth.slots_for(1, Self::alpha(outline.topology)) + EDGE_SLOTS;
        let shortest = slots(consensus.slot, needed);
        if outline.window.at_most(consensus, &outline.growth) >= shortest {
            return Vec::new();
        }
        vec![Problem::new(
            "consensus liveness",
            format!(
                "a window of {} proves nothing, since a healthy chain may make no block in it",
                outline.window
            ),
            format!("make it at least {} ({needed} slots)", humantime::format_duration(shortest)),
        )]
    }

    async fn capture(&self, cx: &RunContext) -> Result<Start, Failure> {
        Ok(Start { heights: Heights::of(cx), presence: Presence::capture(cx).await })
    }

    async fn judge(&self, cx: &RunContext, start: Start) -> Result<(), Failure> {
        let watched = async {
            loop {
                let longest = Expected::until_now(cx, &start).longest_gap;
                stands_still(cx.feed(), slots(cx.topology().consensus().slot, longest.saturating_add(1)))
                    .await;
                let expected = Expected::until_now(cx, &start);
                if let Some(gap) = too_long_gap(cx, &start, &expected) {
                    return self.failure(cx, &start, &expected, &[gap]);
                }
            }
        };
        tokio::select! {
            biased;
            () = cx.settled() => self.verdict(cx, &start),
            failure = watched => Err(failure),
            never = start.presence.follow(cx) => match never {},
            never = self.follow_growth(cx, &start) => match never {},
        }
    }
}

/// What a healthy chain is sure of.
struct Expected {
    /// Slots that count.
    slots: u64,
    /// The one that runs.
    now: u64,
    growth: Growth,
    blocks: u64,
    /// Blocks of the whole window.
    blocks_in_window: u64,
    longest_gap: u64,
}

impl Expected {
    /// Of the chain since the capture, given who took part.
    fn until_now(cx: &RunContext, start: &Start) -> Self {
        let alpha = ConsensusLiveness::alpha(cx.topology());
        let (since, now) = (start.heights.slot, cx.clock().now());
        let each = start.presence.growth(cx, since..now + 1);
        let growth = Growth::mean(&each).unwrap_or_else(|| cx.growth());
        let least = Growth::least(&each).unwrap_or(growth);
        let slots = now.saturating_sub(since + EDGE_SLOTS);
        let consensus = cx.topology().consensus();
        let window = cx.window().at_most(consensus, &cx.growth()).as_nanos() / consensus.slot.as_nanos();
        let window = window as u64;
        Self {
            slots,
            now,
            growth,
            blocks: growth.blocks_in(slots, alpha),
            blocks_in_window: growth.blocks_in(window.saturating_sub(EDGE_SLOTS), alpha),
            longest_gap: least.longest_gap(slots.max(window), alpha).saturating_add(EDGE_SLOTS),
        }
    }
}

/// Completes when the best chain did not grow for a time.
async fn stands_still(feed: &BlockFeed, longest: Duration) {
    let mut changes = feed.changes();
    let mut height = feed.best_height();
    let mut grown = Instant::now();
    loop {
        if tokio::time::timeout_at(grown + longest, changes.changed()).await.is_err()
            || grown.elapsed() > longest
        {
            return;
        }
        let now = feed.best_height();
        if now > height {
            (height, grown) = (now, Instant::now());
        }
    }
}

impl ConsensusLiveness {
    /// Says when the nodes grew by what the window demands, though there may be some of it left.
    async fn follow_growth(&self, cx: &RunContext, start: &Start) -> Infallible {
        let mut changes = cx.feed().changes();
        while changes.changed().await.is_ok() {
            let expected = Expected::until_now(cx, start);
            if self.behind(cx, start, expected.blocks_in_window).is_empty() {
                cx.satisfied(Expectation::name(self));
                break;
            }
        }
        std::future::pending().await
    }

    fn verdict(&self, cx: &RunContext, start: &Start) -> Result<(), Failure> {
        let expected = Expected::until_now(cx, start);
        let mut reasons = self.behind(cx, start, expected.blocks);
        reasons.extend(too_long_gap(cx, start, &expected));
        if reasons.is_empty() { Ok(()) } else { Err(self.failure(cx, start, &expected, &reasons)) }
    }

    /// Which nodes did not grow by so many blocks since the capture, or are behind the best.
    fn behind(&self, cx: &RunContext, start: &Start, blocks: u64) -> Vec<String> {
        let end = Heights::of(cx);
        let best = end.nodes.iter().copied().max().unwrap_or(0);
        let mut reasons = Vec::new();
        let views = cx.feed().nodes();
        let nodes = views.iter().zip(&end.nodes).zip(&start.heights.nodes);
        for ((view, now), before) in nodes.filter(|((view, _), _)| start.presence.throughout(&view.name)) {
            let (name, grown, known) = (&view.name, now.saturating_sub(*before), reasons.len());
            if grown < blocks {
                reasons.push(format!("{name} grew by {grown} blocks, {} too few", blocks - grown));
            }
            if best - now > self.lag_allowance {
                reasons.push(format!("{name} is {} blocks behind the best", best - now));
            }
            if view.error.is_some() && reasons.len() > known {
                reasons.push(format!("{name} does not answer"));
            }
        }
        reasons
    }

    fn failure(&self, cx: &RunContext, start: &Start, expected: &Expected, reasons: &[String]) -> Failure {
        let Expected { slots, growth, blocks, longest_gap, .. } = expected;
        let views = cx.feed().nodes();
        let seen = views.iter().zip(&start.heights.nodes).map(|(view, before)| {
            let down = if start.presence.throughout(&view.name) { "" } else { ", was down meanwhile" };
            format!("{} (from height {before} in slot {}{down})", view.describe(), start.heights.slot)
        });
        Failure::new(FailureClass::Product, Self::NAME)
            .expected(format!(
                "every node to grow by at least {blocks} blocks in {slots} slots, without a gap over {longest_gap} slots, and to be within {} blocks of the best\n\
                 (a healthy chain grows by {:.2} blocks per slot; it misses one of these bounds with probability {FALSE_FAILURES:.0e}, a chain at half rate is found out with probability {:.3})",
                self.lag_allowance,
                growth.per_slot(),
                growth.power_against_half(*slots, *blocks),
            ))
            .seen_all(seen)
            .because(reasons.join("\n"))
            .look(format!("the nodes' logs after the last block, in {}", cx.logs_place()))
            .try_next("check that enough stake is online, that nodes have their peers, and whether the slots are too short for this machine")
    }
}

/// The longest time without a block on the best chain since the capture, if it is too long.
fn too_long_gap(cx: &RunContext, start: &Start, expected: &Expected) -> Option<String> {
    let best = cx.feed().nodes().into_iter().filter_map(|view| view.info).max_by_key(|info| info.height)?;
    let since = start.heights.slot;
    let chain = cx.feed().chain(best.tip);
    let made = chain.iter().rev().map(|block| block.slot).filter(|slot| *slot > since);
    let slots: Vec<u64> = [since].into_iter().chain(made).chain([expected.now]).collect();
    let gaps = slots.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]));
    let (gap, from) = gaps.max()?;
    (gap > expected.longest_gap).then(|| format!("no block for {gap} slots after slot {from}"))
}
