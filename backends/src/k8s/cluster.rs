//! A cluster of pods in use: looked at, controlled, and removed.

use std::fmt;
use std::sync::Arc;

use kube::Client;
use logos_scenario_runtime::deployer::{
    Cluster, ClusterDescription, ClusterError, Log, LogPart, NodeAction, States,
};
use logos_scenario_runtime::faults::{LinkState, NetworkFault};
use logos_scenario_runtime::plan::PlannedNode;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::anew::Anew;
use super::engine;
use super::files::Files;
use super::nodes::Nodes;
use super::reach::Reach;
use crate::relay::Relay;
use crate::relay::control::{Order, Remote};
use crate::{awaited, logs, thread};

/// A cluster of pods in a namespace of its own. Dropping it removes them.
pub struct K8sCluster {
    pub(super) description: ClusterDescription,
    pub(super) client: Client,
    /// The namespace.
    pub(super) name: String,
    pub(super) nodes: Arc<Nodes>,
    /// What nodes are planned anew by.
    pub(super) anew: Mutex<Anew>,
    pub(super) files: Files,
    /// Whether the cluster is not torn down; who holds the lock makes or removes things of it.
    pub(super) running: Arc<Mutex<bool>>,
    /// What follows the pods.
    pub(super) _tasks: JoinSet<()>,
    pub(super) _reach: Reach,
    /// What carries what nodes send each other; none where they do so by themselves.
    pub(super) relay: Option<Remote>,
    /// What carries what nodes send to collectors on this machine.
    pub(super) _collectors: Option<Relay>,
}

impl fmt::Debug for K8sCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K8sCluster").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cluster for K8sCluster {
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
        let running = self.running.lock().await;
        if !*running {
            return Err(ClusterError::gone());
        }
        let objects = self.anew.lock().await.replanned(&node)?;
        self.nodes.replan(&node.name, objects)
    }

    async fn disturb(&self, faults: Vec<NetworkFault>) -> Result<(), ClusterError> {
        Remote::told(self.relay.as_ref(), &Order::Disturb(faults)).await.map(drop)
    }

    async fn links(&self) -> Result<Vec<LinkState>, ClusterError> {
        Remote::told(self.relay.as_ref(), &Order::Links).await
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        logs::read_log(node, self.nodes.log(node)?, part).await
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        let (client, name) = (self.client.clone(), self.name.clone());
        let (nodes, running) = (Arc::clone(&self.nodes), Arc::clone(&self.running));
        thread::to_the_end(async move {
            let mut running = running.lock().await;
            if !*running {
                return Ok(());
            }
            nodes.ends();
            engine::remove(&client, &name).await?;
            nodes.ended().await;
            *running = false;
            Ok(())
        })
        .await
    }
}

impl K8sCluster {
    /// Removes the cluster and all that it wrote: nobody ever had it.
    pub(super) async fn discard(mut self) {
        self.removal().await;
        self.files.discard();
    }

    fn removal(&self) -> impl Future<Output = ()> + Send + use<> {
        let (client, name) = (self.client.clone(), self.name.clone());
        awaited::removal(&self.running, async move { drop(engine::remove(&client, &name).await) })
    }
}

impl Drop for K8sCluster {
    fn drop(&mut self) {
        awaited::leave(&self.running, self.removal());
    }
}
