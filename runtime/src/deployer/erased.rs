//! Deployers and clusters behind pointers, so that backends can be listed and leased.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart, NodeAction,
    Placement, States, Unavailable, Usage,
};
use crate::faults::{LinkState, NetworkFault};
use crate::node::Transport;
use crate::plan::{Plan, PlannedNode};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(crate) trait DynCluster: Send + Sync {
    fn description(&self) -> &ClusterDescription;
    fn states(&self, newer_than: u64) -> BoxFuture<'_, Result<States, ClusterError>>;
    fn control<'a>(&'a self, node: &'a str, action: NodeAction) -> BoxFuture<'a, Result<(), ClusterError>>;
    fn replan(&self, node: PlannedNode) -> BoxFuture<'_, Result<(), ClusterError>>;
    fn disturb(&self, faults: Vec<NetworkFault>) -> BoxFuture<'_, Result<(), ClusterError>>;
    fn links(&self) -> BoxFuture<'_, Result<Vec<LinkState>, ClusterError>>;
    fn logs<'a>(&'a self, node: &'a str, part: LogPart) -> BoxFuture<'a, Result<Log, ClusterError>>;
    fn usage<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<Usage>, ClusterError>>;
    fn teardown(&self) -> BoxFuture<'_, Result<(), ClusterError>>;
    fn connect(&self, address: &str) -> Arc<dyn Transport>;
}

impl<C: Cluster> DynCluster for C {
    fn description(&self) -> &ClusterDescription {
        Cluster::description(self)
    }

    fn states(&self, newer_than: u64) -> BoxFuture<'_, Result<States, ClusterError>> {
        Box::pin(Cluster::states(self, newer_than))
    }

    fn control<'a>(&'a self, node: &'a str, action: NodeAction) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(Cluster::control(self, node, action))
    }

    fn replan(&self, node: PlannedNode) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(Cluster::replan(self, node))
    }

    fn disturb(&self, faults: Vec<NetworkFault>) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(Cluster::disturb(self, faults))
    }

    fn links(&self) -> BoxFuture<'_, Result<Vec<LinkState>, ClusterError>> {
        Box::pin(Cluster::links(self))
    }

    fn logs<'a>(&'a self, node: &'a str, part: LogPart) -> BoxFuture<'a, Result<Log, ClusterError>> {
        Box::pin(Cluster::logs(self, node, part))
    }

    fn usage<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<Usage>, ClusterError>> {
        Box::pin(Cluster::usage(self, node))
    }

    fn teardown(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(Cluster::teardown(self))
    }

    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        Cluster::connect(self, address)
    }
}

pub(crate) trait DynDeployer: Send + Sync {
    fn name(&self) -> &str;
    fn capabilities(&self) -> Capabilities;
    fn settings(&self) -> String;
    fn in_memory(&self) -> bool;
    fn available(&self) -> BoxFuture<'_, Result<(), Unavailable>>;
    fn identity<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, Result<String, DeployError>>;
    fn provision<'a>(
        &'a self,
        plan: &'a Plan,
        place: &'a Placement,
    ) -> BoxFuture<'a, Result<Arc<dyn DynCluster>, DeployError>>;
    fn sweep(&self) -> BoxFuture<'_, Result<Vec<String>, DeployError>>;
}

impl<D: Deployer> DynDeployer for D {
    fn name(&self) -> &str {
        Deployer::name(self)
    }

    fn capabilities(&self) -> Capabilities {
        Deployer::capabilities(self)
    }

    fn settings(&self) -> String {
        Deployer::settings(self)
    }

    fn in_memory(&self) -> bool {
        Deployer::in_memory(self)
    }

    fn available(&self) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(Deployer::available(self))
    }

    fn identity<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, Result<String, DeployError>> {
        Box::pin(Deployer::identity(self, plan))
    }

    fn provision<'a>(
        &'a self,
        plan: &'a Plan,
        place: &'a Placement,
    ) -> BoxFuture<'a, Result<Arc<dyn DynCluster>, DeployError>> {
        Box::pin(async move {
            let cluster = Deployer::provision(self, plan, place).await?;
            Ok(Arc::new(cluster) as Arc<dyn DynCluster>)
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Vec<String>, DeployError>> {
        Box::pin(Deployer::sweep(self))
    }
}

/// A deployer of any type, as it stands in a list of backends; it is a [`Deployer`] itself.
#[derive(Clone)]
pub struct Backend {
    deployer: Arc<dyn DynDeployer>,
    /// The path by which a scenario names it, where it is none of those that a program lists.
    path: Option<&'static str>,
}

debug_as!(Backend, |this| name: this.deployer.name());

impl Backend {
    /// Wraps a deployer.
    #[must_use]
    pub fn new(deployer: impl Deployer) -> Self {
        Self { deployer: Arc::new(deployer), path: None }
    }

    /// The same as what a scenario names by this path.
    pub(crate) fn at(self, path: &'static str) -> Self {
        Self { path: Some(path), ..self }
    }

    /// What tells it from all other backends of a program, which may have its name.
    pub(crate) fn id(&self) -> String {
        self.path.map_or_else(|| self.name().to_owned(), |path| format!("{} of {path}", self.name()))
    }

    /// The deployer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.deployer.name()
    }

    pub(crate) fn deployer(&self) -> &dyn DynDeployer {
        &*self.deployer
    }
}

impl Deployer for Backend {
    type Cluster = AnyCluster;

    fn name(&self) -> &str {
        self.deployer.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.deployer.capabilities()
    }

    fn settings(&self) -> String {
        self.deployer.settings()
    }

    fn in_memory(&self) -> bool {
        self.deployer.in_memory()
    }

    async fn available(&self) -> Result<(), Unavailable> {
        self.deployer.available().await
    }

    async fn identity(&self, plan: &Plan) -> Result<String, DeployError> {
        self.deployer.identity(plan).await
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<AnyCluster, DeployError> {
        self.deployer.provision(plan, place).await.map(AnyCluster)
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        self.deployer.sweep().await
    }
}

/// The cluster of a [`Backend`], of any type. Cheap to clone; it is gone with the last clone.
#[derive(Clone)]
pub struct AnyCluster(Arc<dyn DynCluster>);

debug_as!(AnyCluster, |this| description: this.0.description());

impl Cluster for AnyCluster {
    fn description(&self) -> &ClusterDescription {
        self.0.description()
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        self.0.states(newer_than).await
    }

    async fn control(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        self.0.control(node, action).await
    }

    async fn replan(&self, node: PlannedNode) -> Result<(), ClusterError> {
        self.0.replan(node).await
    }

    async fn disturb(&self, faults: Vec<NetworkFault>) -> Result<(), ClusterError> {
        self.0.disturb(faults).await
    }

    async fn links(&self) -> Result<Vec<LinkState>, ClusterError> {
        self.0.links().await
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        self.0.logs(node, part).await
    }

    async fn usage(&self, node: &str) -> Result<Option<Usage>, ClusterError> {
        self.0.usage(node).await
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        self.0.teardown().await
    }

    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        self.0.connect(address)
    }
}
