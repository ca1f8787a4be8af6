//! Deployers and clusters behind pointers, so that backends can be listed and leased.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart, NodeAction,
    Placement, States, Unavailable,
};
use crate::node::Transport;
use crate::plan::Plan;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(crate) trait DynCluster: Send + Sync {
    fn description(&self) -> &ClusterDescription;
    fn states(&self, newer_than: u64) -> BoxFuture<'_, Result<States, ClusterError>>;
    fn control<'a>(&'a self, node: &'a str, action: NodeAction) -> BoxFuture<'a, Result<(), ClusterError>>;
    fn logs<'a>(&'a self, node: &'a str, part: LogPart) -> BoxFuture<'a, Result<Log, ClusterError>>;
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

    fn logs<'a>(&'a self, node: &'a str, part: LogPart) -> BoxFuture<'a, Result<Log, ClusterError>> {
        Box::pin(Cluster::logs(self, node, part))
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
    fn available(&self) -> BoxFuture<'_, Result<(), Unavailable>>;
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

    fn available(&self) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(Deployer::available(self))
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
pub struct Backend(Arc<dyn DynDeployer>);

impl Backend {
    /// Wraps a deployer.
    #[must_use]
    pub fn new(deployer: impl Deployer) -> Self {
        Self(Arc::new(deployer))
    }

    /// The deployer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn deployer(&self) -> &dyn DynDeployer {
        &*self.0
    }
}

impl Deployer for Backend {
    type Cluster = AnyCluster;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn available(&self) -> Result<(), Unavailable> {
        self.0.available().await
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<AnyCluster, DeployError> {
        self.0.provision(plan, place).await.map(AnyCluster)
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        self.0.sweep().await
    }
}

/// The cluster of a [`Backend`], of any type. Cheap to clone; it is gone with the last clone.
#[derive(Clone)]
pub struct AnyCluster(Arc<dyn DynCluster>);

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

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        self.0.logs(node, part).await
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        self.0.teardown().await
    }

    fn connect(&self, address: &str) -> Arc<dyn Transport> {
        self.0.connect(address)
    }
}
