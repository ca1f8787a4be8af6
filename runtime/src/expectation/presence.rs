//! Which nodes take part in the chain, slot by slot: what is sure of a chain depends on the stake online.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bound::Growth;
use crate::context::RunContext;
use crate::deployer::{NodeState, NodeStatus};
use crate::faults::Disturbed;
use crate::feed::NodeView;

/// Since when, and in which slots, nodes did not take part, and links were disturbed.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    absences: Mutex<BTreeMap<String, Vec<Absence>>>,
    /// From which slot on which faults were in force.
    disturbed: Mutex<Vec<(u64, Disturbed)>>,
}

/// Slots in which a node did not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Absence {
    from: u64,
    /// `None` while it lasts; the node may run again and be catching up.
    to: Option<u64>,
    runs: bool,
}

/// How many blocks behind the best chain a node may be that takes part again.
const CAUGHT_UP: u64 = 2;

impl Presence {
    /// Notes which nodes are absent now.
    pub(crate) async fn capture(cx: &RunContext) -> Self {
        let presence = Self::default();
        let disturbed = cx.disturbing().changes().borrow().clone();
        let apart = presence.disturbed(cx, disturbed);
        if let Ok(states) = cx.node_states().await {
            presence.observe(&states, &apart, cx.clock().now());
        }
        presence
    }

    /// Watches the nodes for ever.
    pub(crate) async fn follow(&self, cx: &RunContext) -> Infallible {
        let mut version = 0;
        let mut changes = cx.feed().changes();
        let mut disturbing = cx.disturbing().changes();
        disturbing.mark_changed();
        let (mut nodes, mut apart) = (Vec::new(), BTreeSet::new());
        loop {
            tokio::select! {
                _ = disturbing.changed() => {
                    let disturbed = disturbing.borrow_and_update().clone();
                    apart = self.disturbed(cx, disturbed);
                    self.observe(&nodes, &apart, cx.clock().now());
                }
                states = cx.node_states_after(version) => match states {
                    Ok(states) => {
                        (version, nodes) = (states.version, states.nodes);
                        self.observe(&nodes, &apart, cx.clock().now());
                    }
                    // Whether the cluster can be asked is for others to say.
                    Err(_) => std::future::pending().await,
                },
                _ = changes.changed() => self.caught_up(&cx.feed().nodes(), cx.clock().now()),
            }
        }
    }

    /// Notes which faults are in force; the nodes that are cut off by them.
    fn disturbed(&self, cx: &RunContext, disturbed: Disturbed) -> BTreeSet<String> {
        let apart = disturbed.sides(cx.topology()).apart();
        let mut all = self.disturbed.lock().unwrap_or_else(PoisonError::into_inner);
        if all.last().map_or(&Disturbed::default(), |(_, last)| last) != &disturbed {
            all.push((cx.clock().now(), disturbed));
        }
        apart
    }

    fn observe(&self, states: &[NodeState], apart: &BTreeSet<String>, slot: u64) {
        let mut absences = self.lock();
        for NodeState { name, status, .. } in states {
            let runs = *status == NodeStatus::Running && !apart.contains(name);
            match absences.get_mut(name).and_then(|all| all.last_mut()) {
                Some(last @ Absence { to: None, .. }) => last.runs = runs,
                _ if runs => {}
                _ => {
                    absences.entry(name.clone()).or_default().push(Absence { from: slot, to: None, runs });
                }
            }
        }
    }

    /// Ends the absence of nodes that run and follow the best chain again.
    fn caught_up(&self, views: &[NodeView], slot: u64) {
        let best = views.iter().map(NodeView::height).max().unwrap_or(0);
        let mut absences = self.lock();
        for view in views {
            let Some(last) = absences.get_mut(&*view.name).and_then(|all| all.last_mut()) else { continue };
            let follows = view.error.is_none() && view.height() + CAUGHT_UP >= best;
            if last.to.is_none() && last.runs && follows {
                last.to = Some(slot);
            }
        }
    }

    /// Whether a node took part all the time.
    pub(crate) fn throughout(&self, node: &str) -> bool {
        !self.lock().contains_key(node)
    }

    /// How fast a healthy chain is sure to grow in each slot of a range, given who took part.
    pub(crate) fn growth(&self, cx: &RunContext, slots: std::ops::Range<u64>) -> Vec<Growth> {
        let nodes = cx.topology().nodes();
        let total: u64 = nodes.iter().map(|node| node.stake).sum();
        let absences = self.lock();
        let absent = |node: &str, slot: u64| {
            let covers = |it: &Absence| it.from <= slot && it.to.is_none_or(|to| slot <= to);
            absences.get(node).is_some_and(|all| all.iter().any(covers))
        };
        let disturbed = self.disturbed.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = |slot: u64| disturbed_by(&disturbed, slot, |faults| faults.delay(cx.topology()));
        let full = cx.growth_online(1.0);
        let online = |slot: u64| {
            let online: u64 = nodes.iter().filter(|it| !absent(&it.name, slot)).map(|it| it.stake).sum();
            // While bytes are lost or wait for others nothing is sure.
            let share = if delay(slot).is_some() { online as f64 / total.max(1) as f64 } else { 0.0 };
            cx.growth_disturbed(share, delay(slot).unwrap_or_default())
        };
        let calm = absences.is_empty() && disturbed.is_empty();
        slots.map(|slot| if calm { full } else { online(slot) }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Absence>>> {
        self.absences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest delay in a slot, of the faults that were in force in any part of it.
fn disturbed_by(
    all: &[(u64, Disturbed)],
    slot: u64,
    delay: impl Fn(&Disturbed) -> Option<Duration>,
) -> Option<Duration> {
    let until = all.iter().skip(1).map(|(next, _)| *next).chain([u64::MAX]);
    let in_force = all.iter().zip(until).filter(|((from, _), until)| *from <= slot && slot <= *until);
    in_force
        .map(|((_, faults), _)| delay(faults))
        .try_fold(Duration::ZERO, |most, delay| Some(most.max(delay?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Link, NetworkFault};

    #[test]
    fn a_slot_is_as_slow_as_the_slowest_part_of_it() {
        let topology = crate::Topology::two_validators().network_full().build().unwrap();
        let link = Link::new("validator-0", "validator-1");
        let second = Duration::from_secs(1);
        let slow = NetworkFault::Latency { link: link.clone(), delay: second, jitter: second };
        let lossy = NetworkFault::Loss { link, percent: 1 };
        let all = [
            (5, Disturbed(vec![slow])),
            (8, Disturbed::default()),
            (20, Disturbed(vec![lossy])),
            (21, Disturbed::default()),
        ];
        let delay = |slot| disturbed_by(&all, slot, |faults| faults.delay(&topology));
        assert_eq!([4, 5, 8, 9].map(delay), [0, 2, 2, 0].map(|seconds| Some(second * seconds)));
        assert_eq!([19, 20, 21, 22].map(delay), [Some(Duration::ZERO), None, None, Some(Duration::ZERO)]);
    }
}
