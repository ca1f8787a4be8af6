//! Which nodes take part in the chain, slot by slot: what is sure of a chain depends on the stake online.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bound::Growth;
use crate::context::RunContext;
use crate::deployer::{NodeState, NodeStatus};
use crate::feed::NodeView;

/// Since when, and in which slots, nodes did not take part.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<BTreeMap<String, Vec<Absence>>>);

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
    pub(super) async fn capture(cx: &RunContext) -> Self {
        let presence = Self::default();
        if let Ok(states) = cx.node_states().await {
            presence.observe(&states, cx.clock().now());
        }
        presence
    }

    /// Watches the nodes for ever.
    pub(super) async fn follow(&self, cx: &RunContext) {
        let mut version = 0;
        let mut changes = cx.feed().changes();
        loop {
            tokio::select! {
                states = cx.node_states_after(version) => match states {
                    Ok(states) => {
                        version = states.version;
                        self.observe(&states.nodes, cx.clock().now());
                    }
                    // Whether the cluster can be asked is for others to say.
                    Err(_) => std::future::pending().await,
                },
                _ = changes.changed() => self.caught_up(&cx.feed().nodes(), cx.clock().now()),
            }
        }
    }

    fn observe(&self, states: &[NodeState], slot: u64) {
        let mut absences = self.lock();
        for NodeState { name, status, .. } in states {
            let runs = *status == NodeStatus::Running;
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
    pub(super) fn throughout(&self, node: &str) -> bool {
        !self.lock().contains_key(node)
    }

    /// How fast a healthy chain is sure to grow in each slot of a range, given who took part.
    pub(super) fn growth(&self, cx: &RunContext, slots: std::ops::Range<u64>) -> Vec<Growth> {
        let nodes = cx.topology().nodes();
        let total: u64 = nodes.iter().map(|node| node.stake).sum();
        let absences = self.lock();
        let absent = |node: &str, slot: u64| {
            let covers = |it: &Absence| it.from <= slot && it.to.is_none_or(|to| slot <= to);
            absences.get(node).is_some_and(|all| all.iter().any(covers))
        };
        let full = cx.growth();
        let online = |slot: u64| {
            let online: u64 = nodes.iter().filter(|it| !absent(&it.name, slot)).map(|it| it.stake).sum();
            cx.growth_online(online as f64 / total.max(1) as f64)
        };
        slots.map(|slot| if absences.is_empty() { full } else { online(slot) }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Absence>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
