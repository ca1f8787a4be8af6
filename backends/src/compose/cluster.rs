//! A cluster of containers in use: looked at, controlled, and removed.

use std::sync::Arc;

use bollard::Docker;
use logos_scenario_runtime::deployer::{
    Cluster, ClusterDescription, ClusterError, Log, LogPart, NodeAction, States, Usage,
};
use logos_scenario_runtime::faults::{LinkState, NetworkFault};
use logos_scenario_runtime::plan::PlannedNode;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::anew::Anew;
use super::engine;
use super::files::Files;
use super::labels::Project;
use super::nodes::Nodes;
use super::reach::Reach;
use crate::relay::Relay;
use crate::relay::control::{Order, Remote};
use crate::{awaited, logs, thread};

/// A cluster of containers. Dropping it removes them.
#[derive(Debug)]
pub struct ComposeCluster {
    pub(super) description: ClusterDescription,
    pub(super) docker: Docker,
    pub(super) project: Project,
    pub(super) nodes: Arc<Nodes>,
    /// What nodes are planned anew by.
    pub(super) anew: Arc<Anew>,
    pub(super) files: Files,
    /// Whether the cluster is not torn down; who holds the lock makes or removes things of it.
    pub(super) running: Arc<Mutex<bool>>,
    /// What follows the engine's events, and what serves configurations.
    pub(super) _tasks: JoinSet<()>,
    pub(super) _reach: Reach,
    /// What carries what nodes send each other; none where they do so by themselves.
    pub(super) relay: Option<Remote>,
    /// What carries what nodes send to collectors on this machine.
    pub(super) _collectors: Option<Relay>,
}

impl Cluster for ComposeCluster {
    fn description(&self) -> &ClusterDescription {
        &self.description
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        Ok(self.nodes.states(newer_than).await)
    }

    async fn control(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        let (nodes, node) = (Arc::clone(&self.nodes), node.to_owned());
        thread::to_the_end(async move { nodes.control(&node, action).await }).await
    }

    async fn replan(&self, node: PlannedNode) -> Result<(), ClusterError> {
        let running = Arc::clone(&self.running).lock_owned().await;
        if !*running {
            return Err(ClusterError::gone());
        }
        let (docker, project) = (self.docker.clone(), self.project.clone());
        let (anew, nodes) = (Arc::clone(&self.anew), Arc::clone(&self.nodes));
        thread::to_the_end(async move {
            let _running = running;
            let (node, service) = anew.replanned(&docker, &project, &node).await?;
            nodes.replan(node, service)
        })
        .await
    }

    async fn disturb(&self, faults: Vec<NetworkFault>) -> Result<(), ClusterError> {
        Remote::told(self.relay.as_ref(), &Order::Disturb(faults)).await.map(drop)
    }

    async fn links(&self) -> Result<Vec<LinkState>, ClusterError> {
        Remote::told(self.relay.as_ref(), &Order::Links).await
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        logs::read_log(node, self.nodes.log(node).await?, part).await
    }

    async fn usage(&self, node: &str) -> Result<Option<Usage>, ClusterError> {
        self.nodes.usage(node).await
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        let mut running = self.running.lock().await;
        if !*running {
            return Ok(());
        }
        // A log that cannot be kept is told of, and keeps no container.
        let copied = self.nodes.copy_logs().await;
        self.nodes.ends();
        engine::remove(&self.docker, &self.project.filter()).await?;
        self.nodes.ended();
        *running = false;
        copied
    }
}

impl ComposeCluster {
    /// Removes the cluster and all that it wrote: nobody ever had it.
    pub(super) async fn discard(mut self) {
        self.removal().await;
        self.files.discard();
    }

    fn removal(&self) -> impl Future<Output = ()> + Send + use<> {
        let (docker, filter) = (self.docker.clone(), self.project.filter());
        awaited::removal(&self.running, async move { drop(engine::remove(&docker, &filter).await) })
    }
}

impl Drop for ComposeCluster {
    fn drop(&mut self) {
        awaited::leave(&self.running, self.removal());
    }
}
