//! Nodes as pods of a Kubernetes cluster, each cluster of nodes in a namespace of its own, made through the API.
//!
//! Each node is a StatefulSet of one pod or none, whose data outlives the pod. Peers know each other by the names of
//! their pods, or where links can be disturbed only the relay's, a pod besides; this process reaches them all by
//! port-forward. The objects stay in the run's directory as one file, readable and usable by hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use kube::Client;
use logos_scenario_runtime::deployer::{Capabilities, DeployError, Deployer, Placement, Unavailable};
use logos_scenario_runtime::plan::Plan;
use tokio::sync::{Mutex, OnceCell, oneshot};

use crate::awaited::Beats;
use crate::env::Settings;
use crate::relay::ways;
use crate::{awaited, collectors, planned, thread, watcher};

mod anew;
mod chart;
mod cluster;
mod context;
mod engine;
mod files;
mod follow;
mod labels;
mod nodes;
mod permissions;
mod reach;
mod render;
mod sweep;
mod trouble;

use anew::Anew;
pub use cluster::K8sCluster;
use context::Context;
use files::Files;
use labels::Names;
use nodes::Nodes;
use reach::Reach;
use render::Look;

/// Makes clusters of pods, in the Kubernetes cluster of a kubeconfig's context.
///
/// ```no_run
/// # async fn deploy(scenario: logos_scenario::Scenario) -> Result<(), logos_scenario::RunFailed> {
/// use logos_scenario::{Deployer, K8sDeployer};
/// let runner = K8sDeployer::default().deploy(&scenario).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct K8sDeployer {
    _private: (),
}

impl K8sDeployer {
    /// The objects of a plan's cluster as the template of a Helm chart, whose values are `image`, `imagePullPolicy`,
    /// `memory`, `requestedMemory` and `startTime`, and of a plan with faults `relayImage`. The chart in `assets/chart` has one.
    ///
    /// # Errors
    ///
    /// A text of the plan that cannot be filled in.
    pub fn helm_template(plan: &Plan) -> Result<String, DeployError> {
        chart::template(plan)
    }
}

impl Deployer for K8sDeployer {
    type Cluster = K8sCluster;

    fn name(&self) -> &str {
        "k8s"
    }

    /// Links are cut by the relay: Kubernetes itself cannot cut off a pod on every network. Nor can it pause one;
    /// what was tried is told in [`guide::backends`](crate::guide::backends).
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            node_control: true,
            network_faults: true,
            shaping: true,
            replan: true,
            ..Capabilities::default()
        }
    }

    fn settings(&self) -> String {
        Settings::fingerprint()
    }

    async fn available(&self) -> Result<(), Unavailable> {
        Context::find(&Settings::get()?).map(drop)
    }

    /// By the images' names and sizes: what is in them, Kubernetes tells only of pods that run.
    async fn identity(&self, plan: &Plan) -> Result<String, DeployError> {
        let settings = Settings::get()?;
        let names =
            plan.nodes.iter().map(|node| node.image.clone().unwrap_or_else(|| settings.image.clone()));
        let relay = plan.relayed.then(|| settings.relay_image.clone());
        let names: BTreeSet<_> = names.chain(relay).collect();
        thread::to_the_end(async move {
            let context = find(&settings)?;
            let images = engine::images(&context.client().await?, &names).await;
            Ok(format!("{} {names:?} {images:?}", context.name))
        })
        .await
    }

    async fn provision(&self, plan: &Plan, place: &Placement) -> Result<K8sCluster, DeployError> {
        let (mut made, receiver) = oneshot::channel();
        let (plan, place) = (plan.clone(), place.clone());
        let _over = awaited::awaited(async move {
            let cluster = make(&plan, &place, &mut made).await;
            if let Err(Ok(unwanted)) = made.send(cluster) {
                unwanted.discard().await;
            }
        });
        receiver.await.expect("the thread lives as long as the process")
    }

    async fn sweep(&self) -> Result<Vec<String>, DeployError> {
        let settings = Settings::get()?;
        thread::to_the_end(async move { sweep::sweep(&find(&settings)?.client().await?).await }).await
    }
}

fn find(settings: &Settings) -> Result<Context, DeployError> {
    Context::find(settings).map_err(|error| DeployError::new("kubeconfig", error.missing, error.try_next))
}

/// Who waits for a cluster.
type Waiting = oneshot::Sender<Result<K8sCluster, DeployError>>;

/// Makes a cluster; on failure, or if nobody waits for it any more, nothing remains of it.
async fn make(plan: &Plan, place: &Placement, waiting: &mut Waiting) -> Result<K8sCluster, DeployError> {
    let settings = Settings::get()?;
    plan.nodes.iter().try_for_each(|node| planned::refuse_binary(node, "pod"))?;
    if plan.relayed {
        planned::at_most(ways::MAX_NODES, plan, "a cluster of pods with faults")?;
    }
    let context = find(&settings)?;
    let client = context.client().await?;
    allowed(&client, &context).await?;
    watcher::start("k8s");
    let api = client.clone();
    awaited::swept(place, async move { sweep::sweep(&api).await }).await;
    let names = Names::new(rand::random(), &plan.key.to_string(), place);
    let made = make_namespace(&client, &names, plan, place, &settings, waiting).await;
    if made.is_err() {
        // The first error is the one to tell; what cannot be removed now is swept later.
        let _ = engine::remove(&client, &names.cluster).await;
    }
    made
}

/// Asks once for what may be done; who was told a gap asks again.
async fn allowed(client: &Client, context: &Context) -> Result<(), DeployError> {
    static ALLOWED: OnceCell<()> = OnceCell::const_new();
    ALLOWED.get_or_try_init(|| permissions::check(client, context)).await.copied()
}

async fn make_namespace(
    client: &Client,
    names: &Names,
    plan: &Plan,
    place: &Placement,
    settings: &Settings,
    waiting: &mut Waiting,
) -> Result<K8sCluster, DeployError> {
    let given_up = || DeployError::new("cluster", "nobody waits for it any more", "wait for it");
    let (plan, collectors) =
        collectors::reachable(plan, settings, async || engine::here(client).await).await?;
    let plan = &plan;
    let bindings = render::bindings(plan, SystemTime::now());
    let rendered = planned::render(plan, &bindings)?;
    let storage = engine::storage(client, settings).await?;
    let objects = render::objects(plan, &rendered, names, &Look::new(settings), &storage, settings);
    let logs = planned::log_directory(place, settings);
    let mut files = Files::write(&place.directory, &logs, &render::to_text(HEAD, objects.all()), plan)?;

    if waiting.is_closed() {
        return Err(given_up());
    }
    let (nodes, tasks) = Nodes::follow(client, names, plan, &logs);
    engine::create(client, names, &objects).await?;
    let running = Arc::new(Mutex::new(true));
    let renewed = sweep::renew(client.clone(), names.cluster.clone(), Beats::new(&running));
    thread::handle().spawn(renewed);
    let ports = render::reached(plan);
    let reach = match &settings.node_host {
        Some(host) => Reach::by_node_port(client, &names.cluster, &ports, host).await?,
        None => Reach::by_forward(client, &names.cluster, &ports).await?,
    };
    let started = async { tokio::try_join!(nodes.started(), nodes.relay_answers(&reach)) };
    let ((), relay) = tokio::select! {
        started = started => started?,
        () = waiting.closed() => return Err(given_up()),
    };
    let description = planned::description(plan, &bindings, &logs);
    files.keep();
    let anew = Anew {
        plan: plan.clone(),
        bindings,
        names: names.clone(),
        storage,
        directory: place.directory.clone(),
        objects,
        replanned: 0,
    };
    Ok(K8sCluster {
        anew: Mutex::new(anew),
        description: reach.described(description),
        client: client.clone(),
        name: names.cluster.clone(),
        nodes,
        files,
        running,
        _tasks: tasks,
        _reach: reach,
        relay,
        _collectors: collectors,
    })
}

/// What stands above the objects in the run's directory.
const HEAD: &str = "# Starts the same nodes by hand, once the test's own are gone:\n\
                    #   kubectl apply -f kubernetes.yaml\n\
                    #   kubectl delete -f kubernetes.yaml\n";
