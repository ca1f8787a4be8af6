//! The states of a cluster's nodes: changed by what follows the nodes, read by who waits for news of them.

#[cfg(any(feature = "compose", feature = "k8s"))]
use std::time::Duration;

#[cfg(any(feature = "compose", feature = "k8s"))]
use logos_scenario_runtime::deployer::ClusterError;
use logos_scenario_runtime::deployer::{NodeState, NodeStatus, States};
use tokio::sync::watch;

/// The states of all nodes, by their index in the plan.
#[derive(Debug)]
pub(crate) struct NodeStates(watch::Sender<States>);

impl NodeStates {
    /// Nodes with these names of which none was started.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let state = |name: &String| NodeState {
            name: name.clone(),
            status: NodeStatus::Stopped,
            starts: 0,
            starts_by_us: 0,
        };
        Self(watch::Sender::new(States {
            version: 1,
            nodes: names.map(state).collect(),
            ..States::default()
        }))
    }

    /// All states, as soon as their version is above `version`.
    pub(crate) async fn newer_than(&self, version: u64) -> States {
        self.when(|states| states.version > version).await
    }

    /// The state of one node.
    pub(crate) fn of(&self, index: usize) -> NodeState {
        self.0.borrow().nodes[index].clone()
    }

    pub(crate) fn change(&self, index: usize, change: impl FnOnce(&mut NodeState)) {
        self.0.send_modify(|states| {
            states.version += 1;
            change(&mut states.nodes[index]);
        });
    }

    /// Notes that the cluster has lost what it cannot go on without.
    pub(crate) fn broken(&self, how: &str) {
        self.0.send_modify(|states| {
            states.version += 1;
            states.broken = Some(how.to_owned());
        });
    }

    /// Notes that a node was planned anew.
    pub(crate) fn replanned(&self, name: &str) {
        self.0.send_modify(|states| {
            states.version += 1;
            states.replanned.insert(name.to_owned());
        });
    }

    /// Waits until the state of one node is as it should be.
    pub(crate) async fn reaches(&self, index: usize, wanted: impl Fn(&NodeState) -> bool) {
        self.when(|states| wanted(&states.nodes[index])).await;
    }

    /// The same within a time in which `who` should have told of it: `what` it was.
    ///
    /// # Errors
    ///
    /// It was not told; with the state that is known.
    #[cfg(any(feature = "compose", feature = "k8s"))]
    pub(crate) async fn told(
        &self,
        index: usize,
        (who, what): (&str, &str),
        within: Duration,
        wanted: impl Fn(&NodeState) -> bool,
    ) -> Result<(), ClusterError> {
        tokio::time::timeout(within, self.reaches(index, wanted)).await.map_err(|_| {
            let (waited, seen) = (within.as_secs(), self.of(index));
            let what = format!("{who} did not tell its {what} within {waited} s: {seen:?}");
            ClusterError { subject: seen.name, what }
        })
    }

    async fn when(&self, wanted: impl FnMut(&States) -> bool) -> States {
        let mut states = self.0.subscribe();
        let reached = states.wait_for(wanted).await;
        // Who changes them is `self`, so that they cannot end before it.
        reached.map(|states| states.clone()).unwrap_or_default()
    }
}

/// Whether there is a process of the node.
pub(crate) fn is_alive(state: &NodeState) -> bool {
    matches!(state.status, NodeStatus::Running | NodeStatus::Paused)
}

/// How a container ended, by its exit code. Engines tell a signal as 128 and its number.
#[cfg(any(feature = "compose", feature = "k8s"))]
pub(crate) fn described_exit(code: i32, out_of_memory: bool) -> String {
    let name = match code - 128 {
        6 => Some("SIGABRT"),
        9 => Some("SIGKILL"),
        11 => Some("SIGSEGV"),
        15 => Some("SIGTERM"),
        _ => None,
    };
    let how = match name {
        Some(name) => format!("signal {} ({name})", code - 128),
        None => format!("exit code {code}"),
    };
    if out_of_memory { format!("{how}, since it was out of memory") } else { how }
}

#[cfg(all(test, any(feature = "compose", feature = "k8s")))]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_cause() {
        assert_eq!(described_exit(101, false), "exit code 101");
        assert_eq!(described_exit(137, false), "signal 9 (SIGKILL)");
        assert_eq!(described_exit(137, true), "signal 9 (SIGKILL), since it was out of memory");
        assert_eq!(described_exit(1, false), "exit code 1");
    }
}
