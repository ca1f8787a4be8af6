//! Nodes as child processes of the test, each in a directory, a process group and with an address of its
//! own.
//!
//! A cluster reserves a loopback block `127.a.b.0/24`; node *i* has the address `127.a.b.(10 + i)` and the
//! plan's own port numbers. Its nodes die with the process that made it, however that ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use logos_scenario_runtime::deployer::{
    Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart, NodeAction,
    Placement, States, Unavailable,
};
use logos_scenario_runtime::plan::Plan;
use tokio::sync::Mutex;

use crate::env::Settings;
use crate::{logs, planned};

mod engine;
mod files;
mod ports;
mod program;
mod render;
mod spawner;

use engine::Nodes;
use files::Files;

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
        Capabilities { node_control: true, pause: true, ..Capabilities::default() }
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

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<LocalCluster, DeployError> {
        let settings = Settings::get()?;
        let (subnet, guard) = ports::reserve(plan)?;
        let addresses = render::addresses(plan, subnet);
        let logs = log_directory(place, &settings);
        let nodes = place.directory.join("nodes");
        let bindings = render::bindings(plan, &addresses, &nodes, SystemTime::now());
        let rendered = planned::render(plan, &bindings)?;
        let mut commands = Vec::new();
        for node in &rendered {
            let program = program::find(node, &settings)?;
            let directory = nodes.join(&node.name);
            let log = logs.join(format!("{}.log", node.name));
            commands.push(render::command(node, program, directory, log, &settings));
        }
        // From here on something exists: what is dropped early, or fails, is removed by its own drop.
        let files = Files::write(&nodes, &logs, &rendered)?;
        let description = planned::description(plan, &bindings, &logs);
        let nodes = Nodes::new(commands);
        nodes.start_all().await?;
        files.keep();
        Ok(LocalCluster { description, nodes, running: Mutex::new(Some(Running { files, _guard: guard })) })
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        // Nodes end with the process that owns them, and their files are in its run's own directory.
        Ok(Vec::new())
    }
}

/// Where nodes' logs go: beside the rest, or into a folder of this cluster's own in `NOMOS_LOG_DIR`.
fn log_directory(place: &Placement, settings: &Settings) -> PathBuf {
    let Some(directory) = &settings.log_dir else { return place.directory.clone() };
    let parts = place.directory.components().rev().take(3).map(|part| part.as_os_str().to_owned());
    let parts: Vec<_> = parts.collect();
    parts.iter().rev().fold(directory.clone(), |path, part| path.join(Path::new(part)))
}

/// A cluster of child processes.
#[derive(Debug)]
pub struct LocalCluster {
    description: ClusterDescription,
    nodes: Nodes,
    /// What only a cluster that is not torn down has.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    files: Files,
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

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        logs::read_log(node, self.nodes.get(node)?.log(), part).await
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
