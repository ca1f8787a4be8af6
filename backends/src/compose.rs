//! Nodes as containers of the engine on this machine, made through its API from the model of a Compose file.
//!
//! A cluster has two networks of its own: clients reach nodes on *control*, nodes reach each other on *peer*, so
//! that one that is cut off can still be looked at. Where links can be disturbed each node has a peer network of its
//! own instead, which it shares with the relay alone, so that nothing leads around that. The Compose file stays in the run's directory, readable and
//! usable by hand.

use std::sync::Arc;
use std::time::SystemTime;

use bollard::Docker;
use logos_scenario_runtime::deployer::{Capabilities, DeployError, Deployer, Placement, Unavailable};
use logos_scenario_runtime::plan::Plan;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use crate::awaited::Beats;
use crate::collectors::Here;
use crate::env::Settings;
use crate::relay::ways::RELAY;
use crate::{awaited, collectors, planned, thread, watcher};

mod addresses;
mod anew;
mod cfgsync;
mod cluster;
mod engine;
mod files;
mod image;
mod labels;
mod model;
mod nodes;
mod reach;
mod relay;
mod render;
mod request;
mod sweep;

use anew::Anew;
pub use cluster::ComposeCluster;
use files::Files;
use labels::Project;
use nodes::Nodes;
use reach::Reach;

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
        Capabilities {
            node_control: true,
            pause: true,
            isolate: true,
            network_faults: true,
            shaping: true,
            usage: true,
            replan: true,
        }
    }

    fn settings(&self) -> String {
        Settings::fingerprint()
    }

    async fn available(&self) -> Result<(), Unavailable> {
        engine::socket(&Settings::get()?).map(drop)
    }

    async fn identity(&self, plan: &Plan) -> Result<String, DeployError> {
        let settings = Settings::get()?;
        let images = image::find_all(&engine::connect(&settings).await?, plan, &settings).await?;
        Ok(format!("{images:?}"))
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<ComposeCluster, DeployError> {
        let (made, receiver) = oneshot::channel();
        let (deployer, plan, place) = (*self, plan.clone(), place.clone());
        let _over = awaited::awaited(async move {
            let cluster = deployer.make(&plan, &place).await;
            if let Err(Ok(unwanted)) = made.send(cluster) {
                unwanted.discard().await;
            }
        });
        receiver.await.expect("the thread lives as long as the process")
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        let docker = engine::connect(&Settings::get()?).await?;
        sweep::sweep(&docker).await
    }
}

impl ComposeDeployer {
    /// Makes a cluster; on failure nothing remains of it.
    async fn make(self, plan: &Plan, place: &Placement) -> Result<ComposeCluster, DeployError> {
        let settings = Settings::get()?;
        let docker = engine::connect(&settings).await?;
        watcher::start("compose");
        let engine = docker.clone();
        awaited::swept(place, async move { sweep::sweep(&engine).await }).await;
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
        image::find_all(docker, plan, settings).await?;
        let subnets = addresses::reserve(docker, project, plan, settings).await?;
        let is_here = reach::is_here(&subnets);
        let here = async || {
            let gateway = render::gateway(subnets.control).into();
            Ok(if is_here { Here::At(gateway) } else { Here::Named("host.docker.internal") })
        };
        let (plan, collectors) = collectors::reachable(plan, settings, here).await?;
        let plan = &plan;
        let bindings = render::bindings(plan, &subnets, SystemTime::now());
        let rendered = planned::render(plan, &bindings)?;
        let publish = self.publish || !is_here;
        let file = render::compose(plan, &rendered, &subnets, settings, publish);
        let mut files = Files::write(&place.directory, &render::to_text(&file, project.as_str()), &rendered)?;

        let logs = planned::log_directory(place, settings);
        planned::make_folder(&logs)?;
        let mut tasks = JoinSet::new();
        let served = cfgsync::server(&rendered, &subnets).await?.map(|(served, server)| {
            tasks.spawn(server);
            served
        });
        let nodes = Arc::new(Nodes::new(docker, project, &rendered, &file, &logs));
        tasks.spawn(Arc::clone(&nodes).follow());
        let running = Arc::new(Mutex::new(true));
        thread::handle().spawn(sweep::beat(docker.clone(), project.clone(), Beats::new(&running)));
        let reach = Reach::open(docker, project, &file).await?;
        let relay = async {
            match file.services.get(RELAY) {
                Some(service) => relay::start(docker, project, service, &subnets, &reach).await.map(Some),
                None => Ok(None),
            }
        };
        let (relay, ()) = tokio::try_join!(relay, nodes.start_all(&rendered, &file))?;
        let description = planned::description(plan, &bindings, &logs);
        files.keep();
        let (plan, directory, file) = (plan.clone(), place.directory.clone(), Mutex::new(file));
        Ok(ComposeCluster {
            anew: Arc::new(Anew { plan, bindings, subnets, publish, directory, file, served }),
            description: render::published(description, &reach.ports),
            docker: docker.clone(),
            project: project.clone(),
            files,
            nodes,
            running,
            _tasks: tasks,
            _reach: reach,
            relay,
            _collectors: collectors,
        })
    }
}
