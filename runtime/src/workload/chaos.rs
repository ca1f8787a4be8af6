//! Nodes that are stopped, killed, paused, restarted and cut off while the chain is watched.
//!
//! What happens when is [planned](FaultPlan) before the run: random restarts from the seed, scripts as they are
//! written. The plan is in the report; `--fault-plan <report.json>` repeats it in place of what the scenarios plan, and
//! [`Chaos::replay`] does so in code.
//!
//! ```
//! # use std::time::Duration;
//! # use logos_scenario_runtime::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
//! # let builder = || ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1)).with_program(FakeProgram);
//! let random = builder().chaos_with(|chaos| {
//!     chaos.restart().min_delay(Duration::from_secs(5)).max_delay(Duration::from_secs(10)).apply()
//! });
//! let scripted = builder().chaos_with(|chaos| {
//!     chaos.node("validator-1").at_height(10).kill().restart_after_blocks(3)
//! });
//! let parted = builder().chaos_with(|chaos| {
//!     chaos.isolate("validator-1").at_height(10).heal_after_blocks(5)
//! });
//! # for builder in [random, scripted, parted] { builder.with_run_duration(Duration::from_secs(120)).build()?; }
//! # Ok::<(), logos_scenario_runtime::BuildError>(())
//! ```

use crate::context::RunContext;
use crate::deployer::Capabilities;
use crate::expectation::{AnyExpectation, Recovery};
use crate::failure::{Failure, Problem};
use crate::faults::NetworkFault;
use crate::replay::Recording;
use crate::scenario::Outline;

use super::{Counters, Workload};

mod acting;
mod log;
mod plan;
mod recalled;
mod replayed;
mod restarts;
mod script;
use acting::Actor;
pub use log::{ChaosLog, Disturbance};
pub use plan::{Back, FaultPlan, PlannedFault, When};
pub(crate) use replayed::replay_everywhere;
pub use restarts::Restarts;
pub use script::{Down, Links, Moment, Over, Paused, Scripted, Target, Unhealed};

/// What is done to nodes and links while the chain is watched.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    restarts: Vec<Restarts>,
    script: FaultPlan,
    max_down: Option<usize>,
    may_split: bool,
    recovery: Recovery,
}

impl Chaos {
    /// Restarts random nodes at random times; [`Restarts::apply`] ends the description.
    #[must_use]
    pub fn restart(self) -> Restarts {
        Restarts::of(self)
    }

    /// Does something to one node at a certain moment.
    pub fn node(self, name: &str) -> Target {
        Target::new(self, name)
    }

    /// Cuts all links of a node at a certain moment.
    pub fn isolate(self, node: &str) -> Links {
        self.network(NetworkFault::Isolate(node.to_owned()))
    }

    /// Cuts all links between two sides at a certain moment; every node is on one of them.
    pub fn partition<S: Into<String>>(
        self,
        one: impl IntoIterator<Item = S>,
        other: impl IntoIterator<Item = S>,
    ) -> Links {
        self.network(NetworkFault::partition(one, other))
    }

    /// Disturbs links in any other way at a certain moment.
    pub fn network(self, fault: NetworkFault) -> Links {
        Links::new(self, fault)
    }

    /// Lets links be cut for so long that a side may make blocks final that the others never take: the chain is then
    /// split for good.
    #[must_use]
    pub fn may_split(mut self) -> Self {
        self.may_split = true;
        self
    }

    /// Repeats what another run did: the plan in the section `faults` of its report.
    #[must_use]
    pub fn replay(mut self, plan: FaultPlan) -> Self {
        self.script.0.extend(plan.0);
        self
    }

    /// Sets how many nodes may be down at once; by default as many as leave more than half of the stake
    /// online. A node counts as down until it has recovered. What would exceed it waits, and a restart that had to
    /// wait puts off those after it by as much; those for which no time is left do not happen. All validators are
    /// never down at once.
    #[must_use]
    pub fn max_down(mut self, nodes: usize) -> Self {
        self.max_down = Some(nodes);
        self
    }

    /// Sets how many blocks a node that came back may be behind the best; 2 by default.
    #[must_use]
    pub fn lag_allowance(mut self, blocks: u64) -> Self {
        self.recovery = self.recovery.lag_allowance(blocks);
        self
    }

    /// What a run of a scenario with this outline does for a seed.
    #[must_use]
    pub fn plan(&self, outline: &Outline<'_>, seed: u64) -> FaultPlan {
        let window = outline.window.at_most(outline.topology.consensus(), &outline.growth);
        let random =
            |(index, restarts): (usize, &Restarts)| restarts.plan(seed, index, window, outline.topology);
        let random = self.restarts.iter().enumerate().flat_map(random);
        FaultPlan(self.script.0.iter().cloned().chain(random).collect())
    }
}

impl Workload for Chaos {
    fn name(&self) -> &str {
        "chaos"
    }

    fn needs(&self) -> Capabilities {
        let restarts = Capabilities { node_control: !self.restarts.is_empty(), ..Capabilities::default() };
        self.script.needs().or(restarts)
    }

    fn problems(&self, outline: &Outline<'_>) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.restarts.iter().flat_map(|restarts| restarts.problems(outline.topology)).collect();
        problems.extend(self.script.problems(outline, self.may_split));
        if self.restarts.is_empty() && self.script.0.is_empty() {
            problems.push(Problem::new(
                "chaos",
                "nothing is done",
                "try `.restart().apply()`, or `.node(\"validator-1\").at_height(10).kill()`",
            ));
        }
        if self.max_down == Some(0) {
            problems.push(Problem::new("chaos.max_down", "0, expected at least 1", "leave it out"));
        }
        problems
    }

    fn expectations(&self) -> Vec<AnyExpectation> {
        vec![AnyExpectation::new(self.recovery)]
    }

    async fn run(&self, cx: &RunContext) -> Result<Counters, Failure> {
        let plan = replayed::instead(cx)?.unwrap_or_else(|| self.plan(&cx.outline(), cx.run_seed()));
        cx.report("faults", &plan);
        Actor::new(cx, self.max_down).run(plan).await
    }

    async fn recall(&self, cx: &RunContext, recording: &Recording) -> Result<(), String> {
        recalled::recall(cx, recording).await
    }
}
