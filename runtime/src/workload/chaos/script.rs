//! Scripts: what happens to one node, or to links, at a certain moment.

use std::marker::PhantomData;
use std::time::Duration;

use super::{Back, Chaos, PlannedFault, When};
use crate::faults::{Fault, NetworkFault};

/// A node that something is done to.
#[derive(Debug)]
#[must_use = "say when, and what happens then"]
pub struct Target {
    chaos: Chaos,
    node: String,
}

/// A node and a moment.
#[derive(Debug)]
#[must_use = "say what happens then"]
pub struct Moment {
    target: Target,
    when: When,
}

/// Links that are disturbed.
#[derive(Debug)]
#[must_use = "say when"]
pub struct Links {
    chaos: Chaos,
    fault: NetworkFault,
}

/// Something that happens; what `Then` says may follow.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # use std::time::Duration;
/// # use logos_scenario::{ScenarioBuilder, ScenarioBuilderExt, Topology, fake::FakeProgram};
/// # let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 2)).with_program(FakeProgram);
/// let builder = builder.enable_node_control().enable_faults().chaos_with(|chaos| {
///     chaos
///         .node("validator-1")
///         .at_height(5)
///         .kill()
///         .restart_after_blocks(3)
///         .and()
///         .isolate("validator-2")
///         .after(Duration::from_secs(60))
///         .heal_after(Duration::from_secs(10))
/// });
/// # builder.with_run_duration(Duration::from_secs(120)).build()?;
/// # Ok::<(), logos_scenario::BuildError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Scripted<Then> {
    chaos: Chaos,
    then: PhantomData<Then>,
}

/// The node is down and can be started again.
#[derive(Debug)]
pub struct Down;
/// The node is paused and can be resumed.
#[derive(Debug)]
pub struct Paused;
/// Links are disturbed and can be healed.
#[derive(Debug)]
pub struct Unhealed;
/// Nothing has to follow.
#[derive(Debug)]
pub struct Over;

impl Target {
    pub(super) fn new(chaos: Chaos, node: &str) -> Self {
        Self { chaos, node: node.to_owned() }
    }

    /// When the chain has grown by so many blocks since the drive began.
    pub fn at_height(self, blocks: u64) -> Moment {
        self.at(When::Height(blocks))
    }

    /// So many slots after the drive began.
    pub fn at_slot(self, slots: u64) -> Moment {
        self.at(When::Slot(slots))
    }

    /// So long after the drive began.
    pub fn after(self, time: Duration) -> Moment {
        self.at(When::After(time))
    }

    fn at(self, when: When) -> Moment {
        Moment { target: self, when }
    }
}

impl Moment {
    /// The node is ended at once.
    pub fn kill(self) -> Scripted<Down> {
        self.happens(Fault::Kill)
    }

    /// The node is asked to end; after five seconds that is insisted on.
    pub fn stop(self) -> Scripted<Down> {
        self.happens(Fault::Stop)
    }

    /// The node does nothing, without being ended.
    pub fn pause(self) -> Scripted<Paused> {
        self.happens(Fault::Pause)
    }

    /// The node is stopped and started again.
    pub fn restart(self) -> Scripted<Over> {
        self.happens(Fault::Restart)
    }

    fn happens<Then>(self, fault: impl FnOnce(String) -> Fault) -> Scripted<Then> {
        let Self { target: Target { chaos, node }, when } = self;
        Scripted::new(chaos, when, fault(node))
    }
}

impl Links {
    pub(super) fn new(chaos: Chaos, fault: NetworkFault) -> Self {
        Self { chaos, fault }
    }

    /// When the chain has grown by so many blocks since the drive began.
    pub fn at_height(self, blocks: u64) -> Scripted<Unhealed> {
        self.at(When::Height(blocks))
    }

    /// So many slots after the drive began.
    pub fn at_slot(self, slots: u64) -> Scripted<Unhealed> {
        self.at(When::Slot(slots))
    }

    /// So long after the drive began.
    pub fn after(self, time: Duration) -> Scripted<Unhealed> {
        self.at(When::After(time))
    }

    fn at(self, when: When) -> Scripted<Unhealed> {
        Scripted::new(self.chaos, when, self.fault.into())
    }
}

impl Scripted<Unhealed> {
    /// The links are healed when the chain has grown by so many blocks.
    pub fn heal_after_blocks(self, blocks: u64) -> Scripted<Over> {
        self.back(Back::Blocks(blocks))
    }

    /// The links are healed after a time.
    pub fn heal_after(self, time: Duration) -> Scripted<Over> {
        self.back(Back::After(time))
    }
}

impl Scripted<Down> {
    /// The node is started again when the chain has grown by so many blocks.
    pub fn restart_after_blocks(self, blocks: u64) -> Scripted<Over> {
        self.back(Back::Blocks(blocks))
    }

    /// The node is started again after a time.
    pub fn restart_after(self, time: Duration) -> Scripted<Over> {
        self.back(Back::After(time))
    }
}

impl Scripted<Paused> {
    /// The node goes on when the chain has grown by so many blocks.
    pub fn resume_after_blocks(self, blocks: u64) -> Scripted<Over> {
        self.back(Back::Blocks(blocks))
    }

    /// The node goes on after a time.
    pub fn resume_after(self, time: Duration) -> Scripted<Over> {
        self.back(Back::After(time))
    }
}

impl<Then> Scripted<Then> {
    fn new(mut chaos: Chaos, when: When, fault: Fault) -> Self {
        chaos.script.0.push(PlannedFault { when, fault, back: None });
        Self { chaos, then: PhantomData }
    }

    /// Something else besides.
    #[must_use]
    pub fn and(self) -> Chaos {
        self.chaos
    }

    fn back(mut self, back: Back) -> Scripted<Over> {
        self.chaos.script.0.last_mut().expect("it was scripted just now").back = Some(back);
        Scripted { chaos: self.chaos, then: PhantomData }
    }
}

impl<Then> From<Scripted<Then>> for Chaos {
    fn from(scripted: Scripted<Then>) -> Self {
        scripted.chaos
    }
}
