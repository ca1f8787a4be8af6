//! What is done when: made before the run, and the same for the same seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deployer::Capabilities;
use crate::failure::Problem;
use crate::faults::{Fault, NetworkFault, Sides};
use crate::scenario::Outline;
use crate::topology::Role;

/// Everything that is done to a cluster in a run; the report's section `faults`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultPlan(pub Vec<PlannedFault>);

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// When it happens.
    pub when: When,
    /// What happens.
    pub fault: Fault,
    /// When it is over; where it is not said, a restarted node is back at once, and all else lasts for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Back>,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// So long after the drive began.
    After(Duration),
    /// When the chain has grown by so many blocks since the drive began.
    Height(u64),
    /// So many slots after the one in which the drive began.
    Slot(u64),
}

/// When a fault is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    /// So long after it.
    After(Duration),
    /// When the chain has grown by so many blocks since.
    Blocks(u64),
}

impl FaultPlan {
    /// Everything that makes the plan impossible on a topology that is watched for such a window.
    pub(super) fn problems(&self, outline: &Outline<'_>, may_split: bool) -> Vec<Problem> {
        self.0.iter().flat_map(|planned| planned.problems(outline, may_split)).collect()
    }

    pub(super) fn needs(&self) -> Capabilities {
        self.0.iter().map(|planned| planned.fault.needs()).fold(Capabilities::default(), Capabilities::or)
    }
}

impl PlannedFault {
    fn problems(&self, outline: &Outline<'_>, may_split: bool) -> Vec<Problem> {
        let topology = outline.topology;
        let node = match &self.fault {
            Fault::Network(fault) => {
                let problems = fault.problems(topology);
                let splits = || self.splits(fault, outline).filter(|_| !may_split);
                return if problems.is_empty() { splits().into_iter().collect() } else { problems };
            }
            Fault::Kill(node) | Fault::Stop(node) | Fault::Pause(node) | Fault::Restart(node) => node,
        };
        let place = || format!("chaos.node(\"{node}\")");
        let Some(planned) = topology.nodes().iter().find(|it| it.name == *node) else {
            let names: Vec<_> = topology.nodes().iter().map(|node| node.name.as_str()).collect();
            return vec![Problem::new(
                place(),
                "there is no such node",
                format!("the nodes are {}", names.join(", ")),
            )];
        };
        let only = planned.role == Role::Validator && topology.count(Role::Validator) == 1;
        only.then(|| only_validator(place())).into_iter().collect()
    }

    /// Whether a side that is cut off from the heaviest is expected to make `k / 2` blocks of its own meanwhile: it may
    /// then make one final that the heaviest never takes. The heaviest itself may make as many as it likes, since the
    /// others take its chain for as long as they have made nothing final themselves.
    fn splits(&self, fault: &NetworkFault, outline: &Outline<'_>) -> Option<Problem> {
        let consensus = outline.topology.consensus();
        let shares = Sides::new(outline.topology, std::slice::from_ref(fault)).shares();
        let (heaviest, second) = (*shares.first()?, *shares.get(1)?);
        let slots = |time: Duration| time.as_secs_f64() / consensus.slot.as_secs_f64();
        let (lasts, own_blocks) = match self.back {
            Some(Back::Blocks(blocks)) => (format!("{blocks} blocks"), blocks as f64 * second / heaviest),
            Some(Back::After(time)) => (
                humantime::format_duration(time).to_string(),
                second * consensus.active_slot_coeff * slots(time),
            ),
            None => {
                let window = outline.window.at_most(consensus, &outline.growth);
                ("the rest of the run".to_owned(), second * consensus.active_slot_coeff * slots(window))
            }
        };
        let enough = (own_blocks * 2.0).floor() + 1.0;
        (own_blocks * 2.0 >= f64::from(consensus.security_param)).then(|| {
            Problem::new(
                format!("fault `{fault}`"),
                format!(
                    "lasts {lasts}, in which a side of {:.0} % of the stake is expected to make {own_blocks:.1} blocks \
                     of its own: half of security_param, {}, or more, so that it may make one final and never agree \
                     with the others again",
                    second * 100.0,
                    consensus.security_param
                ),
                format!("raise security_param to {enough} or more, heal it earlier, or say `.may_split()`"),
            )
        })
    }
}

pub(super) fn only_validator(place: String) -> Problem {
    Problem::new(
        place,
        "the only validator would be down, and the chain with it",
        "give the topology `validators(2)` or more",
    )
}
