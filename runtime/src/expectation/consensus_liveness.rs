//! Every node's chain grows as fast as a healthy chain is sure to.

use std::time::Duration;

use tokio::time::Instant;

use super::Expectation;
use super::bound::{FALSE_FAILURES, Growth};
use super::presence::Presence;
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
/// Fails as soon as a gap is too long.
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
struct Heights {
    slot: u64,
    nodes: Vec<u64>,
}

/// Where everybody was before the workloads started, and who is there since.
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
        "ConsensusLiveness"
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
                stands_still(cx.feed(), slots(cx.topology().consensus().slot, longest + 1)).await;
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
            () = start.presence.follow(cx) => Ok(()),
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
        let longest_gap = least.longest_gap(slots.max(window as u64), alpha).saturating_add(EDGE_SLOTS);
        Self { slots, now, growth, blocks: growth.blocks_in(slots, alpha), longest_gap }
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
    fn verdict(&self, cx: &RunContext, start: &Start) -> Result<(), Failure> {
        let expected = Expected::until_now(cx, start);
        let end = Heights::of(cx);
        let best = end.nodes.iter().copied().max().unwrap_or(0);
        let mut reasons = Vec::new();
        let nodes = cx.topology().nodes().iter().zip(&end.nodes).zip(&start.heights.nodes);
        for ((node, now), before) in nodes.filter(|((node, _), _)| start.presence.throughout(&node.name)) {
            let grown = now.saturating_sub(*before);
            if grown < expected.blocks {
                let missing = expected.blocks - grown;
                reasons.push(format!("{} grew by {grown} blocks, {missing} too few", node.name));
            }
            if best - now > self.lag_allowance {
                reasons.push(format!("{} is {} blocks behind the best", node.name, best - now));
            }
        }
        reasons.extend(too_long_gap(cx, start, &expected));
        if reasons.is_empty() { Ok(()) } else { Err(self.failure(cx, start, &expected, &reasons)) }
    }

    fn failure(&self, cx: &RunContext, start: &Start, expected: &Expected, reasons: &[String]) -> Failure {
        let Expected { slots, growth, blocks, longest_gap, .. } = expected;
        let views = cx.feed().nodes();
        let seen = views.iter().zip(&start.heights.nodes).map(|(view, before)| {
            let down = if start.presence.throughout(&view.name) { "" } else { ", was down meanwhile" };
            format!("{} (from height {before} in slot {}{down})", view.describe(), start.heights.slot)
        });
        Failure::new(FailureClass::Product, "ConsensusLiveness")
            .expected(format!(
                "every node to grow by at least {blocks} blocks in {slots} slots, without a gap over {longest_gap} slots, and to be within {} blocks of the best\n\
                 (a healthy chain grows by {:.2} blocks per slot; it misses one of these bounds with probability {FALSE_FAILURES:.0e}, a chain at half rate is found out with probability {:.3})",
                self.lag_allowance,
                growth.per_slot(),
                growth.power_against_half(*slots, *blocks),
            ))
            .seen_all(seen)
            .because(reasons.join("\n"))
            .look(format!("the nodes' logs after the last block, in {}", cx.directory().display()))
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
