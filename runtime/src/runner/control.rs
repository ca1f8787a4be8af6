//! What can be done to the nodes of a running cluster.

use std::sync::Arc;

use crate::deployer::{ClusterError, DynCluster, LogPart, NodeAction, NodeState};
use crate::node::NodeProgram;
use crate::plan::{Genesis, NodePlanning};
use crate::topology::{NodeOverrides, Topology};

/// Stops, starts, pauses and isolates nodes. Each call returns when its effect was observed.
///
/// ```
/// # use logos_scenario_runtime::fake;
/// # fake::in_no_time(async {
/// # let (runner, scenario) = fake::example().await?;
/// use logos_scenario_runtime::deployer::NodeStatus;
///
/// let control = runner.control();
/// control.kill("validator-1").await?;
/// assert!(matches!(control.state("validator-1").await?.status, NodeStatus::Stopped));
/// control.start("validator-1").await?;
/// control.pause("validator-0").await?;
/// control.resume("validator-0").await?;
/// control.isolate("executor-0").await?;
/// control.rejoin("executor-0").await?;
/// println!("{}", control.last_lines("validator-1", 20).await?);
///
/// let unknown = control.stop("validator-7").await.expect_err("there is none");
/// assert!(unknown.to_string().contains("validator-7"));
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct NodeControl {
    cluster: Arc<dyn DynCluster>,
    planned: Arc<Planned>,
}

debug_as!(NodeControl, |this| description: this.cluster.description());

/// What the nodes of a cluster were planned by.
pub(crate) struct Planned {
    pub(crate) topology: Topology,
    pub(crate) genesis: Genesis,
    pub(crate) program: Arc<dyn NodeProgram>,
    /// Whether the run is over and only played again, so that nodes are not in the states that actions expect.
    pub(crate) past: bool,
}

impl NodeControl {
    pub(crate) fn new(cluster: Arc<dyn DynCluster>, planned: Planned) -> Self {
        Self { cluster, planned: Arc::new(planned) }
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

    /// [Starts](Self::start) a node otherwise than the topology has it: with other values of its configuration,
    /// another environment, program, image or other peers, laid over what the topology gives it, and with its data. So
    /// it is started from then on, until it is told otherwise; nothing laid over is the topology's own again.
    ///
    /// A cluster with a node that was started otherwise is used by no other scenario afterwards.
    ///
    /// ```
    /// # use logos_scenario_runtime as logos_scenario;
    /// use std::time::Duration;
    /// use logos_scenario::fake::{FakeDeployer, FakeProgram};
    /// use logos_scenario::{ChainAgreement, Deployer, ScenarioBuilder, ScenarioBuilderExt, Topology};
    ///
    /// # logos_scenario_runtime::fake::in_no_time(async {
    /// let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
    ///     .with_program(FakeProgram)
    ///     .with_expectation(ChainAgreement::default())
    ///     .build()?;
    /// let runner = FakeDeployer::default().deploy(&scenario).await?;
    /// let (control, node) = (runner.control(), "validator-1");
    /// control.stop(node).await?;
    /// control.start_with(node, |node| node.config("faults.http", "garbage")).await?;
    /// let client = runner.node_clients().by_name(node).ok_or("it is planned")?;
    /// assert!(client.consensus_info().await.is_err());
    /// control.restart_with(node, |node| node).await?;
    /// assert!(client.consensus_info().await.is_ok());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// See [`stop`](Self::stop); also what cannot be changed any more, such as stake, what the node program does not
    /// have, what cannot be run, and where the backend has no capability `replan`.
    pub async fn start_with(
        &self,
        node: &str,
        with: impl FnOnce(NodeOverrides) -> NodeOverrides,
    ) -> Result<(), ClusterError> {
        self.replan(node, with, NodeAction::Start).await
    }

    /// [Restarts](Self::restart) a node otherwise than the topology has it, as [`start_with`](Self::start_with) starts
    /// it. What is refused is so before the node is stopped.
    ///
    /// # Errors
    ///
    /// See [`start_with`](Self::start_with).
    pub async fn restart_with(
        &self,
        node: &str,
        with: impl FnOnce(NodeOverrides) -> NodeOverrides,
    ) -> Result<(), ClusterError> {
        self.replan(node, with, NodeAction::Restart).await
    }

    async fn replan(
        &self,
        node: &str,
        with: impl FnOnce(NodeOverrides) -> NodeOverrides,
        then: NodeAction,
    ) -> Result<(), ClusterError> {
        let Planned { topology, genesis, program, past } = &*self.planned;
        if !past {
            then.allowed(node, &self.state(node).await?.status)?;
        }
        let planned =
            topology.replanned(node, &with(NodeOverrides::default())).and_then(|(topology, index)| {
                let planning = NodePlanning { topology: &topology, genesis, index };
                program.plan(&planning).map_err(|problem| vec![problem])
            });
        let planned = planned.map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let what = format!("cannot be told to {then} so: {}", problems.join("; "));
            ClusterError { subject: node.to_owned(), what }
        })?;
        self.cluster.replan(planned).await?;
        self.act(node, then).await
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
        let nodes = self.cluster.states(0).await?.nodes;
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
        Ok(self.cluster.logs(node, LogPart::Last(lines)).await?.text)
    }

    pub(crate) async fn act(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        self.cluster.control(node, action).await
    }
}
