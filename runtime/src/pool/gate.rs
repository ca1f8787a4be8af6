//! Whether a cluster may be used again: every node as it was planned, reachable, with its peers, on one chain
//! that grows, and without a panic in its log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::wire::Health;
use crate::context::SlotClock;
use crate::deployer::{DynCluster, LogPart, NodeState, NodeStatus};
use crate::expectation::disagreements;
use crate::feed::{BlockFeed, NodeView};
use crate::node::{NodeClient, NodeProgram};
use crate::plan::{Plan, PlannedNode};
use crate::wait;

/// Blocks by which two nodes' tips may differ.
const LAG: u64 = 2;

/// Looks at one cluster after each lease.
pub(super) struct Gate {
    cluster: Arc<dyn DynCluster>,
    program: Arc<dyn NodeProgram>,
    health: Health,
    relayed: bool,
    /// The nodes that start with the cluster.
    clients: Vec<NodeClient>,
    late: Vec<String>,
    feed: BlockFeed,
    clock: SlotClock,
    /// Bytes of each log that were looked through.
    read: Mutex<HashMap<String, u64>>,
}

impl Gate {
    /// Begins to follow the chain of a cluster.
    pub(super) fn new(
        cluster: Arc<dyn DynCluster>,
        program: Arc<dyn NodeProgram>,
        plan: &Plan,
        health: Health,
    ) -> Self {
        let is_late = |name: &str| plan.nodes.iter().any(|node: &PlannedNode| node.late && node.name == name);
        let mut clients = crate::runner::clients(&*cluster, &*program);
        clients.retain(|client| !is_late(client.name()));
        Self {
            feed: BlockFeed::start(&clients, Arc::clone(&program), health.slot),
            clock: SlotClock::new(cluster.description(), health.slot),
            late: plan.nodes.iter().filter(|node| node.late).map(|node| node.name.clone()).collect(),
            clients,
            cluster,
            program,
            health,
            relayed: plan.relayed,
            read: Mutex::default(),
        }
    }

    /// Looks until all is well, at most for as long as that may take. Looking thoroughly means to wait for a block
    /// that was made since and that all nodes have: what was done to nodes just now may not show otherwise.
    ///
    /// # Errors
    ///
    /// What is not well.
    pub(super) async fn pass(&self, thorough: bool) -> Result<(), String> {
        let since = thorough.then(|| self.clock.now());
        self.nodes_are_as_planned().await?;
        if self.relayed {
            // Whoever left faults behind may be gone.
            self.cluster.disturb(Vec::new()).await.map_err(|error| error.to_string())?;
        }
        self.logs_are_clean().await?;
        let chain = || async {
            let found = self.peers_lack().await;
            let found = if found.is_empty() { self.chain_lacks(since) } else { found };
            if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
        };
        let well = wait::until("the cluster to be well", self.health.patience, chain).await;
        well.map_err(|timed_out| timed_out.last.unwrap_or_else(|| "no node answers".to_owned()))
    }

    async fn nodes_are_as_planned(&self) -> Result<(), String> {
        let states = self.cluster.states(0).await.map_err(|error| error.to_string())?;
        states.broken.map_or(Ok(()), Err)?;
        let replanned = states.replanned.iter().map(|name| format!("{name} was planned anew by a scenario"));
        let unlike = states.nodes.iter().filter_map(|node| self.unlike_the_plan(node));
        let wrong: Vec<_> = replanned.chain(unlike).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    fn unlike_the_plan(&self, node: &NodeState) -> Option<String> {
        let NodeState { name, status, starts, starts_by_us } = node;
        if self.late.contains(name) {
            return (*starts > 0).then(|| format!("{name}, which is planned late, was started"));
        }
        if *status != NodeStatus::Running {
            return Some(format!("{name}: {status}"));
        }
        (starts > starts_by_us).then(|| format!("{name} was restarted, and not by a scenario"))
    }

    /// Looks for panics in what was logged since the last time.
    async fn logs_are_clean(&self) -> Result<(), String> {
        for client in &self.clients {
            let name = client.name();
            let from = self.read().get(name).copied().unwrap_or_default();
            let log =
                self.cluster.logs(name, LogPart::From(from)).await.map_err(|error| error.to_string())?;
            self.read().insert(name.to_owned(), log.end);
            if let Some(line) = log.text.lines().find(|line| line.contains(self.program.panic_marker())) {
                return Err(format!("{name} logged a panic: {line}"));
            }
        }
        Ok(())
    }

    fn read(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn peers_lack(&self) -> Vec<String> {
        let asked = self.clients.iter().map(|client| async move {
            let least = self.health.peers.get(client.name()).copied().unwrap_or_default();
            match client.network_info().await {
                Ok(info) if info.n_peers >= least => None,
                Ok(info) => Some(format!("{} has {} of {least} peers", client.name(), info.n_peers)),
                Err(error) => Some(format!("{}: {error}", client.name())),
            }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    fn chain_lacks(&self, since: Option<u64>) -> Vec<String> {
        let views = self.feed.nodes();
        let now = self.clock.now();
        let stalls = |view: &NodeView| {
            let slot = view.info.as_ref().map_or(0, |info| info.slot);
            slot + self.health.stall < now || view.error.is_some()
        };
        let stalled = views.iter().filter(|view| stalls(view));
        let mut lacking: Vec<_> = stalled.map(|view| format!("{}, in slot {now}", view.describe())).collect();
        lacking.extend(disagreements(&self.feed, &views, LAG));
        if since.is_some_and(|since| self.last_common_slot(&views) <= since) {
            lacking.push("no block reached all nodes since the last scenario".to_owned());
            lacking.extend(views.iter().map(NodeView::describe));
        }
        lacking
    }

    /// The slot of the last block that all nodes have; 0 is genesis.
    fn last_common_slot(&self, views: &[NodeView]) -> u64 {
        let tips: Vec<_> = views.iter().filter_map(|view| Some(view.info.as_ref()?.tip)).collect();
        let Some((first, others)) = tips.split_first() else { return 0 };
        let common = others.iter().map(|tip| self.feed.common_height(*first, *tip)).min();
        let chain = self.feed.chain(*first);
        let mut shared = chain.iter().filter(|block| common.is_none_or(|common| block.height <= common));
        shared.next().map_or(0, |block| block.slot)
    }
}
