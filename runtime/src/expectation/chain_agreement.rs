//! All nodes follow one chain.

use super::{Expectation, NoCrash, Recovery};
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass};
use crate::feed::{BlockFeed, NodeView};

/// Every pair of nodes' tips forks at most `lag_allowance` blocks below the lower one, and their last
/// irreversible blocks lie on one chain. Ancestry decides, not height: split chains grow alike.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::fake::{self, FakeDeployer, FakeProgram, Fault};
/// # use logos_scenario::{Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
/// use logos_scenario::ChainAgreement;
///
/// fake::in_no_time(async {
///     let scenario = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
///         .with_program(FakeProgram)
///         .with_expectation(ChainAgreement::default().lag_allowance(1))
///         .with_run_duration(Duration::from_secs(60))
///         .build()?;
///     FakeDeployer::default().run(&scenario).await?;
///
///     let faulty = FakeDeployer::default().with_fault("validator-1", 5, Fault::Fork);
///     let failed = faulty.run(&scenario).await.expect_err("a node goes on alone");
///     assert!(failed.to_string().contains("ChainAgreement failed (product)"));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ChainAgreement {
    lag_allowance: u64,
}

impl Default for ChainAgreement {
    fn default() -> Self {
        Self { lag_allowance: 2 }
    }
}

impl ChainAgreement {
    /// Its name.
    pub(crate) const NAME: &str = "ChainAgreement";

    /// Sets how many blocks below the lower tip two nodes' chains may fork; 2 by default.
    #[must_use]
    pub fn lag_allowance(mut self, blocks: u64) -> Self {
        self.lag_allowance = blocks;
        self
    }
}

impl Expectation for ChainAgreement {
    type Baseline = ();

    fn name(&self) -> &str {
        Self::NAME
    }

    fn explained_by(&self) -> &'static [&'static str] {
        &[NoCrash::NAME, Recovery::NAME]
    }

    fn awaited(&self) -> bool {
        false
    }

    async fn capture(&self, _: &RunContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn judge(&self, cx: &RunContext, (): ()) -> Result<(), Failure> {
        cx.settled().await;
        let nodes = cx.feed().nodes();
        let disagreements = disagreements(cx.feed(), &nodes, self.lag_allowance);
        if disagreements.is_empty() {
            return Ok(());
        }
        Err(Failure::new(FailureClass::Product, Self::NAME)
            .expected(format!(
                "all tips to fork at most {} blocks below the lower one, and all LIBs on one chain",
                self.lag_allowance
            ))
            .seen_all(nodes.iter().map(NodeView::describe))
            .seen_all(disagreements)
            .because("the nodes follow different chains")
            .look(format!("the nodes' logs around the first block that differs, in {}", cx.logs_place()))
            .try_next(
                "look for a partition, a reorganisation below the LIB, or nodes that share a leader key",
            ))
    }
}

/// What keeps the nodes from following one chain, a line each; nodes that never answered are no party.
pub(crate) fn disagreements(feed: &BlockFeed, nodes: &[NodeView], lag_allowance: u64) -> Vec<String> {
    let known: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.info.as_ref()?))).collect();
    let mut found = Vec::new();
    for (index, (one, left)) in known.iter().enumerate() {
        for (other, right) in &known[index + 1..] {
            let common = feed.common_height(left.tip, right.tip);
            let depth = left.height.min(right.height).saturating_sub(common);
            if depth > lag_allowance {
                found.push(format!(
                    "{} and {} forked after height {common}, {depth} blocks below the lower tip",
                    one.name, other.name
                ));
            }
            // LIBs lie on one chain where the lower is an ancestor of the higher; genesis is one of all.
            let heights = [left.lib, right.lib].map(|lib| feed.block(lib).map_or(0, |block| block.height));
            if feed.common_height(left.lib, right.lib) < heights[0].min(heights[1]) {
                found.push(format!(
                    "{} and {} hold different blocks irreversible: LIB {} at height {}, LIB {} at height {}",
                    one.name,
                    other.name,
                    left.lib.short(),
                    heights[0],
                    right.lib.short(),
                    heights[1]
                ));
            }
        }
    }
    found
}
