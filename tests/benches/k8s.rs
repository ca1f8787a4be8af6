//! What the framework takes to have five pods ready, and what the bare API takes for the same objects:
//!
//!     cargo bench --profile dev --workspace --bench k8s
//!
//! Both begin with an image and end when Kubernetes says that all pods are ready. The bare objects are those that the
//! framework wrote into its run's directory, in a namespace of another name.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::{Api, Client};
use logos_scenario::deployer::{Cluster, Placement};
use logos_scenario::{
    ChainAgreement, Deployer, K8sDeployer, Scenario, ScenarioBuilder, ScenarioBuilderExt, Topology, wait,
};
use logos_scenario_devnode::Devnode;

const NODES: usize = 5;
const ROUNDS: usize = 3;
const WITHIN: Duration = Duration::from_secs(120);
const INVOCATION: &str = "bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scenario =
        ScenarioBuilder::with_topology(Topology::with_node_counts(NODES, 0).slot(Duration::from_millis(500)))
            .with_program(Devnode::default())
            .with_expectation(ChainAgreement::default())
            .build()?;
    let client = Client::try_default().await?;
    let (mut framework, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (took, objects) = through_the_framework(&client, &scenario).await?;
        framework.push(took);
        bare.push(bare_objects(&client, objects, round).await?);
        println!("round {round}: framework {:.2?}, bare API {:.2?}", framework[round - 1], bare[round - 1]);
    }
    let (framework, bare) = (median(framework), median(bare));
    println!(
        "median of {ROUNDS} rounds, {NODES} pods: framework {framework:.2?}, bare API {bare:.2?}, ratio {:.2}",
        framework.as_secs_f64() / bare.as_secs_f64()
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What it took, and the objects that were made.
async fn through_the_framework(
    client: &Client,
    scenario: &Scenario,
) -> anyhow::Result<(Duration, Vec<DynamicObject>)> {
    let directory = tempfile::tempdir()?;
    let labels = [("invocation".to_owned(), INVOCATION.to_owned())].into();
    let place = Placement { directory: directory.path().to_owned(), labels };
    let began = Instant::now();
    let cluster = K8sDeployer::default().provision(&scenario.plan("k8s"), &place).await?;
    ready(&Api::all(client.clone())).await?;
    let took = began.elapsed();
    let text = fs::read_to_string(directory.path().join("kubernetes.yaml"))?;
    cluster.teardown().await?;
    let documents = text.split("\n---\n").map(|document| document.trim_start_matches('#'));
    let objects = documents.skip(1).map(serde_saphyr::from_str).collect::<Result<_, _>>()?;
    Ok((took, objects))
}

/// Waits until all pods of this program are ready.
async fn ready(pods: &Api<Pod>) -> anyhow::Result<()> {
    let of = ListParams::default().labels(&format!("logos-scenario.invocation={INVOCATION}"));
    let ready = async || {
        let pods = pods.list(&of).await.map_err(|error| error.to_string())?;
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        if ready == NODES { Ok(()) } else { Err(format!("{ready} are")) }
    };
    wait::until("all pods to be ready", WITHIN, ready).await.map_err(|error| anyhow!("{error}"))
}

async fn bare_objects(
    client: &Client,
    mut objects: Vec<DynamicObject>,
    round: usize,
) -> anyhow::Result<Duration> {
    let namespace = format!("logos-scenario-bench-{round}");
    let original = objects[0].metadata.name.clone().context("the first is the namespace")?;
    let text = serde_json::to_string(&objects)?.replace(&original, &namespace);
    objects = serde_json::from_str(&text)?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let began = Instant::now();
    let (sets, others): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|object| kind(object) == "StatefulSet");
    let (volumes, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|object| kind(object) == "PersistentVolume");
    create(client, &namespace, &others[0]).await?;
    let made = try_join_all(others[1..].iter().map(|object| create(client, &namespace, object))).await?;
    let claims: Vec<_> = made.iter().filter(|object| kind(object) == "PersistentVolumeClaim").collect();
    // As somebody would who knows how Kubernetes binds a volume at once.
    let volumes = volumes.into_iter().zip(&claims).map(|(mut volume, claim)| {
        volume.data["spec"]["claimRef"]["uid"] = claim.metadata.uid.clone().into();
        volume
    });
    try_join_all(volumes.collect::<Vec<_>>().iter().map(|object| create(client, &namespace, object))).await?;
    try_join_all(sets.iter().map(|object| create(client, &namespace, object))).await?;
    let answered = ready(&Api::namespaced(client.clone(), &namespace)).await;
    let took = began.elapsed();
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    let gone = async || match namespaces.get_opt(&namespace).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("it is there".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    wait::until("the end of the namespace", WITHIN, gone).await.map_err(|error| anyhow!("{error}"))?;
    answered.map(|()| took)
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

async fn create(client: &Client, namespace: &str, object: &DynamicObject) -> anyhow::Result<DynamicObject> {
    let types = object.types.as_ref().context("every object has a kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    let api: Api<DynamicObject> = match kind(object) {
        "Namespace" | "PersistentVolume" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let made = api.create(&PostParams::default(), object).await;
    let mut made = made.with_context(|| format!("{} {:?}", kind(object), object.metadata.name))?;
    made.types = object.types.clone();
    Ok(made)
}
