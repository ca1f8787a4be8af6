//! Nodes as child processes of the test, each in a directory, a process group and with an address of its
//! own.
//!
//! A cluster reserves a loopback block `127.a.b.0/24`; node *i* has the address `127.a.b.(10 + i)` and the
//! plan's own port numbers. Its nodes die with the process that made it, however that ends.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use logos_scenario_runtime::deployer::{
    Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart, NodeAction,
    Placement, States, Unavailable, Usage,
};
use logos_scenario_runtime::faults::{LinkState, NetworkFault};
use logos_scenario_runtime::plan::{Bindings, Plan, PlannedNode};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::env::Settings;
use crate::relay::{Relay, Way};
use crate::{logs, planned, thread};

mod addresses;
mod engine;
mod files;
mod nodes;
mod program;
mod render;

use files::Files;
use nodes::Nodes;
use render::NodeCommand;

/// Makes clusters of child processes.
///
/// ```no_run
/// # async fn deploy(scenario: logos_scenario::Scenario) -> Result<(), logos_scenario::RunFailed> {
/// use logos_scenario::{Deployer, LocalDeployer};
/// let runner = LocalDeployer::default().deploy(&scenario).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDeployer {
    _private: (),
}

impl Deployer for LocalDeployer {
    type Cluster = LocalCluster;

    fn name(&self) -> &str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            node_control: true,
            pause: true,
            network_faults: true,
            shaping: true,
            usage: true,
            replan: true,
            ..Capabilities::default()
        }
    }

    fn settings(&self) -> String {
        Settings::fingerprint()
    }

    async fn available(&self) -> Result<(), Unavailable> {
        if cfg!(target_os = "linux") {
            return Ok(());
        }
        Err(Unavailable {
            missing: "each local node needs a loopback address of its own, which only Linux gives".to_owned(),
            try_next: "run the scenario on Linux, or on another backend".to_owned(),
        })
    }

    async fn identity(&self, plan: &Plan) -> Result<String, DeployError> {
        let programs = program::find_all(plan, &Settings::get()?)?;
        Ok(format!("{programs:?}"))
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<LocalCluster, DeployError> {
        let settings = Settings::get()?;
        let (subnet, guard) = addresses::reserve(plan)?;
        let addresses = render::addresses(plan, subnet);
        let logs = planned::log_directory(place, &settings);
        let nodes = place.directory.join("nodes");
        let (relay, at) = opened(render::ways(plan, &addresses, subnet)).await?;
        let mut bindings = render::bindings(plan, &addresses, &nodes, SystemTime::now());
        bindings.relay = render::relayed(plan, &at);
        let rendered = planned::render(plan, &bindings)?;
        let command = |node: &PlannedNode| command(node, nodes.join(&node.name), &logs, &settings);
        let commands = rendered.iter().map(command).collect::<Result<_, _>>()?;
        // From here on something exists: what is dropped early, or fails, is removed by its own drop.
        let files = Files::write(&nodes, &logs, &rendered)?;
        let description = planned::description(plan, &bindings, &logs);
        let nodes = Nodes::new(commands);
        let (ended, tell) = (relay.ended(), nodes.without_relay());
        let mut watching = JoinSet::new();
        watching.spawn_on(
            async move {
                ended.await;
                tell();
            },
            thread::handle(),
        );
        nodes.start_all().await?;
        files.keep();
        let relay = plan.relayed.then_some(relay);
        let running = Running { files, relay, _watching: watching, _guard: guard };
        let plan = plan.clone();
        Ok(LocalCluster { description, plan, bindings, logs, nodes, running: Mutex::new(Some(running)) })
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        // Nodes end with the process that owns them, and their files are in its run's own directory.
        Ok(Vec::new())
    }
}

/// What starts a rendered node, by a program that is there.
fn command(
    node: &PlannedNode,
    directory: PathBuf,
    logs: &Path,
    settings: &Settings,
) -> Result<NodeCommand, DeployError> {
    let program = program::find(node, settings)?;
    Ok(render::command(node, program, directory, logs.join(format!("{}.log", node.name)), settings))
}

/// Opens a relay that belongs to no case.
async fn opened(ways: Vec<Way>) -> Result<(Relay, Vec<SocketAddr>), DeployError> {
    let opened = thread::to_the_end(async move { Relay::open(&ways).await }).await;
    opened.map_err(|error| {
        DeployError::new(
            "relay",
            format!("a way between two nodes cannot be opened: {error}"),
            "see with `ulimit -n` how many files this process may have open",
        )
    })
}

/// A cluster of child processes.
#[derive(Debug)]
pub struct LocalCluster {
    description: ClusterDescription,
    plan: Plan,
    bindings: Bindings,
    /// Where the nodes' logs are.
    logs: PathBuf,
    nodes: Nodes,
    /// What only a cluster that is not torn down has.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    files: Files,
    /// What carries what nodes send each other; none where they do so by themselves.
    relay: Option<Relay>,
    _watching: JoinSet<()>,
    _guard: TcpListener,
}

impl Cluster for LocalCluster {
    fn description(&self) -> &ClusterDescription {
        &self.description
    }

    async fn states(&self, newer_than: u64) -> Result<States, ClusterError> {
        Ok(self.nodes.states(newer_than).await)
    }

    async fn control(&self, node: &str, action: NodeAction) -> Result<(), ClusterError> {
        self.nodes.get(node)?.control(action).await
    }

    async fn replan(&self, node: PlannedNode) -> Result<(), ClusterError> {
        let running = self.running.lock().await;
        let Some(Running { files, .. }) = &*running else { return Err(ClusterError::gone()) };
        let (_, node) = self.plan.replanned(&node, &self.bindings)?;
        let settings = Settings::get().map_err(DeployError::from)?;
        let directory = &self.bindings.nodes[&node.name].directory;
        let command = command(&node, directory.clone(), &self.logs, &settings)?;
        files.planned(directory, &node.files);
        self.nodes.get(&node.name)?.replan(command);
        Ok(())
    }

    async fn disturb(&self, faults: Vec<NetworkFault>) -> Result<(), ClusterError> {
        self.with_relay(|relay| relay.disturb(&faults)).await
    }

    async fn links(&self) -> Result<Vec<LinkState>, ClusterError> {
        self.with_relay(Relay::links).await
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        logs::read_log(node, self.nodes.get(node)?.log(), part).await
    }

    async fn usage(&self, node: &str) -> Result<Option<Usage>, ClusterError> {
        Ok(self.nodes.get(node)?.usage())
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        let mut running = self.running.lock().await;
        let Some(Running { files, .. }) = &*running else { return Ok(()) };
        self.nodes.end_all().await?;
        files.remove_data()?;
        *running = None;
        Ok(())
    }
}

impl LocalCluster {
    async fn with_relay<T>(&self, act: impl FnOnce(&Relay) -> T) -> Result<T, ClusterError> {
        let running = self.running.lock().await;
        let Some(Running { relay, .. }) = &*running else {
            return Err(ClusterError::gone());
        };
        relay.as_ref().map(act).ok_or_else(ClusterError::no_relay)
    }
}
