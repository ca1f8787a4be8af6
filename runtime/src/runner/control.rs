//! What can be done to the nodes of a running cluster.

use std::sync::Arc;

use crate::deployer::{ClusterError, DynCluster, LogPart, NodeAction, NodeState};

/// Stops, starts, pauses and isolates nodes. Each call returns when its effect was observed.
#[derive(Clone)]
pub struct NodeControl(Arc<dyn DynCluster>);

impl NodeControl {
    pub(crate) fn new(cluster: Arc<dyn DynCluster>) -> Self {
        Self(cluster)
    }

    /// Asks a node to end, and insists after five seconds.
    ///
    /// # Errors
    ///
    /// There is no such node, or it does not run; as for every call.
    pub async fn stop(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Stop).await
    }

    /// Ends a node at once.
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop).
    pub async fn kill(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Kill).await
    }

    /// Starts a node again with its data.
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop).
    pub async fn start(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Start).await
    }

    /// Stops a node and starts it again.
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop).
    pub async fn restart(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Restart).await
    }

    /// Lets a node do nothing, without ending it.
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop).
    pub async fn pause(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Pause).await
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop).
    pub async fn resume(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Resume).await
    }

    /// Cuts a node off from all others, while its HTTP still answers.
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop); also where the backend has no capability `isolate`.
    pub async fn isolate(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Isolate).await
    }

    /// Lets an isolated node reach the others again.
    ///
    /// # Errors
    ///
    /// See [`isolate`](Self::isolate).
    pub async fn rejoin(&self, node: &str) -> Result<(), ClusterError> {
        self.act(node, NodeAction::Rejoin).await
    }

    /// What a node's process is doing.
    ///
    /// # Errors
    ///
    /// There is no such node, or the cluster cannot be asked.
    pub async fn state(&self, node: &str) -> Result<NodeState, ClusterError> {
        let nodes = self.0.states(0).await?.nodes;
        let names: Vec<_> = nodes.iter().map(|state| state.name.clone()).collect();
        let state = nodes.into_iter().find(|state| state.name == node);
        state.ok_or_else(|| ClusterError::no_such_node(node, names.iter().map(String::as_str)))
    }

    /// The last lines of a node's log, whether it lives or not.
    ///
    /// # Errors
    ///
    /// There is no such node, or its log cannot be read.
    pub async fn last_lines(&self, node: &str, lines: usize) -> Result<String, ClusterError> {
        Ok(self.0.logs(node, LogPart::Last(lines)).await?.text)
    }

    pub(crate) async fn act(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        self.0.control(node, action).await
    }
}
