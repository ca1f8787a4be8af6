//! Every node's chain grows as fast as a healthy chain is sure to.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Expectation;
use super::bound::{FALSE_FAILURES, Growth};
use crate::context::RunContext;
use crate::deployer::NodeStatus;
use crate::failure::{Failure, FailureClass, Problem};
use crate::feed::{BlockFeed, NodeView};
use crate::scenario::{Outline, slots};
use crate::topology::Topology;

/// Over the window the chain of each node grew by at least the [bound](super::bound), no gap between
/// consecutive blocks was longer than the bound allows, and at the end all nodes are within
/// `lag_allowance` blocks of the best.
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
pub struct Heights {
    at: Instant,
    slot: u64,
    nodes: Vec<u64>,
}

impl Heights {
    fn of(cx: &RunContext) -> Self {
        let nodes = cx.feed().nodes().iter().map(NodeView::height).collect();
        Self { at: Instant::now(), slot: cx.clock().now(), nodes }
    }
}

impl Expectation for ConsensusLiveness {
    type Baseline = Heights;

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

    async fn capture(&self, cx: &RunContext) -> Result<Heights, Failure> {
        Ok(Heights::of(cx))
    }

    async fn judge(&self, cx: &RunContext, baseline: Heights) -> Result<(), Failure> {
        let alpha = Self::alpha(cx.topology());
        let growth = cx.growth();
        let consensus = cx.topology().consensus();
        let window = cx.window().at_most(consensus, &growth);
        let window_slots = (window.as_nanos() / consensus.slot.as_nanos()) as u64;
        let longest_gap = growth.longest_gap(window_slots, alpha) + EDGE_SLOTS;
        tokio::select! {
            biased;
            () = cx.settled() => {}
            () = stands_still(cx.feed(), slots(consensus.slot, longest_gap + 1)) => {
                self.verdict(cx, &baseline, &growth, alpha, longest_gap).await?;
            }
        }
        cx.settled().await;
        self.verdict(cx, &baseline, &growth, alpha, longest_gap).await
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
    async fn verdict(
        &self,
        cx: &RunContext,
        baseline: &Heights,
        growth: &Growth,
        alpha: f64,
        longest_gap: u64,
    ) -> Result<(), Failure> {
        let end = Heights::of(cx);
        let counted = end.slot.saturating_sub(baseline.slot + EDGE_SLOTS);
        let bound = growth.blocks_in(counted, alpha);
        let views = cx.feed().nodes();
        let best = end.nodes.iter().copied().max().unwrap_or(0);
        let up = up(cx).await?;
        let mut reasons = Vec::new();
        for ((view, now), before) in views.iter().zip(&end.nodes).zip(&baseline.nodes) {
            if !up.contains(&*view.name) {
                continue;
            }
            let grown = now.saturating_sub(*before);
            if grown < bound {
                reasons.push(format!("{} grew by {grown} blocks, {} too few", view.name, bound - grown));
            }
            if best - now > self.lag_allowance {
                reasons.push(format!("{} is {} blocks behind the best", view.name, best - now));
            }
        }
        reasons.extend(too_long_gap(cx, baseline, &end, longest_gap));
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Failure::new(FailureClass::Product, "ConsensusLiveness")
            .expected(format!(
                "every node to grow by at least {bound} blocks in {counted} slots, without a gap over {longest_gap} slots, and to be within {} blocks of the best\n\
                 (a healthy chain grows by {:.2} blocks per slot; it misses one of these bounds with probability {FALSE_FAILURES:.0e}, a chain at half rate is found out with probability {:.3})",
                self.lag_allowance,
                growth.per_slot(),
                growth.power_against_half(counted, bound),
            ))
            .seen_all(views.iter().zip(&baseline.nodes).map(|(view, before)| {
                format!("{} (from height {before} in slot {})", view.describe(), baseline.slot)
            }))
            .because(reasons.join("\n"))
            .look(format!("the nodes' logs after the last block, in {}", cx.directory().display()))
            .try_next("check that enough stake is online, that nodes have their peers, and whether the slots are too short for this machine"))
    }
}

/// The nodes that run and were started once: others are judged by what ended them.
async fn up(cx: &RunContext) -> Result<HashSet<String>, Failure> {
    let states = cx.node_states().await.map_err(|error| {
        Failure::new(FailureClass::Infrastructure, "ConsensusLiveness").seen(error.to_string())
    })?;
    let up = states.into_iter().filter(|node| node.status == NodeStatus::Running && node.starts == 1);
    Ok(up.map(|node| node.name).collect())
}

/// The longest time without a block on the best chain since the capture, if it is too long.
fn too_long_gap(cx: &RunContext, baseline: &Heights, end: &Heights, longest: u64) -> Option<String> {
    let best = cx.feed().nodes().into_iter().filter_map(|view| view.info).max_by_key(|info| info.height)?;
    let since = cx.clock().at(baseline.at);
    let made = cx.feed().chain(best.tip).into_iter().rev().map(|block| block.slot);
    let mut slots: Vec<u64> = std::iter::once(since).chain(made.filter(|slot| *slot > since)).collect();
    slots.push(end.slot);
    let gaps = slots.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]));
    let (gap, from) = gaps.max()?;
    (gap > longest).then(|| format!("no block for {gap} slots after slot {from}"))
}
