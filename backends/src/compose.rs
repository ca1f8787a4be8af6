//! Nodes as containers of the engine on this machine, made through its API from the model of a Compose file.
//!
//! A cluster has two networks of its own: clients reach nodes on *control*, nodes reach each other on *peer*, so
//! that one that is cut off can still be looked at. The Compose file stays in the run's directory, readable and
//! usable by hand.

use std::collections::{BTreeSet, HashMap};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use bollard::Docker;
use logos_scenario_runtime::deployer::{
    Capabilities, Cluster, ClusterDescription, ClusterError, DeployError, Deployer, Log, LogPart, NodeAction,
    Placement, States, Unavailable,
};
use logos_scenario_runtime::plan::{Plan, PlannedNode};
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;

use crate::env::Settings;
use crate::{logs, planned};

mod cfgsync;
mod engine;
mod files;
mod labels;
mod model;
mod nodes;
mod reach;
mod render;
mod request;
mod subnets;
mod sweep;
mod watcher;

use files::{Files, NodeLog};
use labels::Project;
use nodes::Nodes;
use reach::Reach;
use render::Subnets;

/// How long a caller that goes away waits for what it leaves to be removed.
const REMOVAL: Duration = Duration::from_secs(60);

/// Makes clusters of containers.
///
/// ```no_run
/// # async fn deploy(scenario: logos_scenario::Scenario) -> Result<(), logos_scenario::RunFailed> {
/// use logos_scenario::{ComposeDeployer, Deployer};
/// let runner = ComposeDeployer::default().deploy(&scenario).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ComposeDeployer {
    publish: bool,
}

impl ComposeDeployer {
    /// Reaches nodes by ports published on the loopback address even where their own addresses answer, as they
    /// do not where the engine runs in a virtual machine.
    #[must_use]
    pub fn publishing_ports(mut self) -> Self {
        self.publish = true;
        self
    }
}

impl Deployer for ComposeDeployer {
    type Cluster = ComposeCluster;

    fn name(&self) -> &str {
        "compose"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { node_control: true, pause: true, isolate: true, ..Capabilities::default() }
    }

    async fn available(&self) -> Result<(), Unavailable> {
        let settings = Settings::get().map_err(|error| Unavailable {
            missing: error.to_string(),
            try_next: format!("unset {} or give it such a value", error.name),
        })?;
        engine::socket(&settings).map(drop)
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<ComposeCluster, DeployError> {
        let (made, receiver) = oneshot::channel();
        let (over, ends) = mpsc::channel::<()>();
        let (deployer, plan, place) = (*self, plan.clone(), place.clone());
        engine::thread().spawn(async move {
            let cluster = deployer.make(&plan, &place).await;
            if let Err(Ok(unwanted)) = made.send(cluster) {
                unwanted.discard().await;
            }
            drop(over);
        });
        let mut given_up = WaitOnDrop(Some(ends));
        let made = receiver.await;
        given_up.0 = None;
        made.expect("the engine's thread lives as long as the process")
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        let docker = engine::connect(&Settings::get()?).await?;
        sweep::sweep(&docker).await
    }
}

/// A caller that drops its future waits until the task it started is over, and has removed what it made.
struct WaitOnDrop(Option<mpsc::Receiver<()>>);

impl Drop for WaitOnDrop {
    fn drop(&mut self) {
        if let Some(ends) = &self.0 {
            let _ = ends.recv_timeout(REMOVAL);
        }
    }
}

impl ComposeDeployer {
    /// Makes a cluster on the engine's thread; on failure nothing remains of it.
    async fn make(self, plan: &Plan, place: &Placement) -> Result<ComposeCluster, DeployError> {
        let settings = Settings::get()?;
        check(plan)?;
        let docker = engine::connect(&settings).await?;
        watcher::start();
        sweep::sweep(&docker).await?;
        let project = Project::new(rand::random(), &plan.key.to_string(), place);
        let made = self.make_project(&docker, &project, plan, place, &settings).await;
        if made.is_err() {
            // The first error is the one to tell; what cannot be removed now is swept later.
            let _ = engine::remove(&docker, &project.filter()).await;
        }
        made
    }

    async fn make_project(
        self,
        docker: &Docker,
        project: &Project,
        plan: &Plan,
        place: &Placement,
        settings: &Settings,
    ) -> Result<ComposeCluster, DeployError> {
        let images = plan.nodes.iter().map(|node| node.image.as_ref().unwrap_or(&settings.image));
        for image in images.collect::<BTreeSet<_>>() {
            engine::check_image(docker, image).await?;
        }
        let subnets = subnets::reserve(docker, project, settings).await?;
        // Where the bridge is not on this machine, neither are the nodes' addresses.
        let is_here = TcpListener::bind((render::gateway(subnets.control), 0)).is_ok();
        let publish = self.publish || !is_here;
        let bindings = render::bindings(plan, subnets, SystemTime::now());
        let rendered = planned::render(plan, &bindings)?;
        let file = render::compose(&rendered, subnets, settings, publish);
        let mut files = Files::write(&place.directory, &render::to_text(&file, project.as_str()), &rendered)?;

        let server = configure(&rendered, subnets).await?;
        let nodes = Arc::new(Nodes::new(docker.clone(), project.clone(), &rendered, &file));
        let following = engine::thread().spawn(Arc::clone(&nodes).follow()).abort_handle();
        let following = AbortOnDrop(following);
        let running = Arc::new(Mutex::new(true));
        engine::thread().spawn(sweep::beat(docker.clone(), project.clone(), Arc::downgrade(&running)));
        engine::start_all(docker, project, &file, &rendered).await?;
        let failed = |error: ClusterError| DeployError {
            subject: error.subject,
            what: error.what,
            try_next: "see `docker events` for what the engine does".to_owned(),
            log: None,
        };
        nodes.all_started().await.map_err(failed)?;
        let mut description = planned::description(plan, &bindings, &place.directory);
        let reach = Reach::open(docker, project, &file).await.map_err(|error| DeployError {
            subject: "loopback address".to_owned(),
            what: format!("no port could be opened there: {error}"),
            try_next: "see whether this process has too many files open".to_owned(),
            log: None,
        })?;
        description = render::published(description, &reach.ports);
        files.keep();
        let log = |PlannedNode { name, .. }: &PlannedNode| {
            (name.clone(), NodeLog::new(place.directory.join(format!("{name}.log"))))
        };
        Ok(ComposeCluster {
            description,
            docker: docker.clone(),
            project: project.clone(),
            logs: rendered.iter().map(log).collect(),
            files,
            nodes,
            running,
            _tasks: [Some(following), server],
            _reach: reach,
        })
    }
}

/// What no cluster of containers can be.
fn check(plan: &Plan) -> Result<(), DeployError> {
    let count = plan.nodes.len();
    if count > render::MAX_NODES {
        return Err(DeployError {
            subject: "topology".to_owned(),
            what: format!("{count} nodes, but a cluster of containers has at most {}", render::MAX_NODES),
            try_next: "spread the nodes over several scenarios".to_owned(),
            log: None,
        });
    }
    let own = plan.nodes.iter().find_map(|node| Some((node, node.binary.as_ref()?)));
    own.map_or(Ok(()), |(node, binary)| {
        Err(DeployError {
            subject: node.name.clone(),
            what: format!(
                "its own program `{}` is a file of this machine, and no container's",
                binary.display()
            ),
            try_next: format!("use `with_node(\"{}\", |node| node.image(..))`", node.name),
            log: None,
        })
    })
}

/// Serves their configuration to nodes that fetch it, on the gateway of the control network alone.
async fn configure(rendered: &[PlannedNode], subnets: Subnets) -> Result<Option<AbortOnDrop>, DeployError> {
    if rendered.iter().all(|node| node.fetches.is_none()) {
        return Ok(None);
    }
    let address = (render::gateway(subnets.control), cfgsync::PORT).into();
    let server = cfgsync::serve(address, rendered).await.map_err(|error| DeployError {
        subject: "cfgsync server".to_owned(),
        what: error,
        try_next: "use an engine whose networks are on this machine, or a program that finds its file"
            .to_owned(),
        log: None,
    })?;
    Ok(Some(AbortOnDrop(server)))
}

/// A task that is of no use without the cluster.
#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A cluster of containers. Dropping it removes them.
#[derive(Debug)]
pub struct ComposeCluster {
    description: ClusterDescription,
    docker: Docker,
    project: Project,
    nodes: Arc<Nodes>,
    logs: HashMap<String, NodeLog>,
    files: Files,
    /// Whether the cluster is not torn down; who holds the lock makes or removes things of it.
    running: Arc<Mutex<bool>>,
    /// What follows the engine's events, and what serves configurations.
    _tasks: [Option<AbortOnDrop>; 2],
    _reach: Reach,
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
        engine::to_the_end(async move { nodes.control(&node, action).await }).await
    }

    async fn logs(&self, node: &str, part: LogPart) -> Result<Log, ClusterError> {
        let container = self.nodes.container(node)?;
        let log = &self.logs[node];
        log.copy(&self.docker, node, container).await?;
        logs::read_log(node, log.path(), part).await
    }

    async fn teardown(&self) -> Result<(), ClusterError> {
        let mut running = self.running.lock().await;
        if !*running {
            return Ok(());
        }
        for (node, log) in &self.logs {
            log.copy(&self.docker, node, self.nodes.container(node)?).await?;
        }
        self.nodes.ends();
        engine::remove(&self.docker, &self.project.filter()).await?;
        self.nodes.ended();
        *running = false;
        Ok(())
    }
}

impl ComposeCluster {
    /// Removes the cluster and all that it wrote: nobody ever had it.
    async fn discard(mut self) {
        // Nobody is left to be told; what stays is swept.
        if engine::remove(&self.docker, &self.project.filter()).await.is_ok() {
            *self.running.lock().await = false;
        }
        self.files.discard();
    }
}

impl Drop for ComposeCluster {
    fn drop(&mut self) {
        let (docker, project, running) =
            (self.docker.clone(), self.project.clone(), Arc::clone(&self.running));
        if running.try_lock().is_ok_and(|running| !*running) {
            return;
        }
        let (over, ends) = mpsc::channel::<()>();
        engine::thread().spawn(async move {
            let mut running = running.lock().await;
            // Nobody is left to be told; what stays is swept.
            let _ = engine::remove(&docker, &project.filter()).await;
            *running = false;
            drop(over);
        });
        let _ = ends.recv_timeout(REMOVAL);
    }
}
