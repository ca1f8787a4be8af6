//! What the framework takes to have five nodes in containers ready, and what the bare engine takes for five
//! containers of the same image with the same files:
//!
//!     cargo bench --profile dev --workspace --bench compose
//!
//! Both begin with an image and end when every node answers over HTTP. The framework's clusters are ready only when
//! the nodes have their peers and a first block besides, they have a second network, a volume per node, a Compose
//! file, and somebody who follows them and sweeps up; the bare ones have what it takes to answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig,
    NetworkCreateRequest, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    UploadToContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::future::{join_all, try_join_all};
use logos_scenario::node::HttpTransport;
use logos_scenario::plan::{Binding, Bindings, PlannedNode};
use logos_scenario::{
    ChainAgreement, ComposeDeployer, Deployer, NodeClient, Scenario, ScenarioBuilder, ScenarioBuilderExt,
    Topology, wait,
};
use logos_scenario_devnode::Devnode;

const NODES: usize = 5;
const ROUNDS: usize = 7;
const WITHIN: Duration = Duration::from_secs(60);
const IMAGE: &str = "logos-scenario-node:local";
/// The bare containers' network; nobody else takes its addresses.
const NETWORK: &str = "logos-scenario-bench";
const SUBNET: &str = "10.143.255";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scenario =
        ScenarioBuilder::with_topology(Topology::with_node_counts(NODES, 0).slot(Duration::from_millis(100)))
            .with_program(Devnode::default())
            .with_expectation(ChainAgreement::default())
            .build()?;
    let docker = Docker::connect_with_unix("/var/run/docker.sock", 120, API_DEFAULT_VERSION)?;
    let docker = docker.negotiate_version().await?;
    let (mut framework, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        bare.push(bare_containers(&docker, &scenario).await?);
        framework.push(through_the_framework(&scenario).await?);
        println!(
            "round {round}: framework {:.2?}, bare engine {:.2?}",
            framework[round - 1],
            bare[round - 1]
        );
    }
    let (framework, bare) = (median(framework), median(bare));
    println!(
        "median of {ROUNDS} rounds, {NODES} nodes: framework {framework:.2?}, bare engine {bare:.2?}, ratio {:.2}",
        framework.as_secs_f64() / bare.as_secs_f64()
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn through_the_framework(scenario: &Scenario) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let runner = ComposeDeployer::default().deploy(scenario).await?;
    let took = began.elapsed();
    runner.teardown().await?;
    Ok(took)
}

async fn bare_containers(docker: &Docker, scenario: &Scenario) -> anyhow::Result<Duration> {
    let plan = scenario.plan("bare");
    let binding =
        |index: usize, node: &PlannedNode| Binding::new(format!("{SUBNET}.{}", 10 + index), node, "/node");
    let bindings = Bindings::new(&plan, binding);
    let rendered = plan.render(&bindings)?;
    // An earlier measurement may have been killed.
    remove(docker, &rendered).await;
    let began = Instant::now();
    docker.create_network(network()).await?;
    let answers = rendered.iter().map(async |node| {
        let address = &bindings.nodes[&node.name].host;
        start(docker, node, address).await?;
        let client = Arc::new(HttpTransport::new(format!("http://{address}:18080")));
        let client = NodeClient::new(&node.name, node.role, client);
        let answer = || async { client.consensus_info().await.map(drop).map_err(|error| error.to_string()) };
        wait::until("an answer", WITHIN, answer).await.map_err(|error| anyhow!("{}: {error}", node.name))
    });
    let answered = try_join_all(answers).await;
    let took = began.elapsed();
    remove(docker, &rendered).await;
    answered.map(|_| took)
}

/// Removes what there is of the bare containers and their network.
async fn remove(docker: &Docker, rendered: &[PlannedNode]) {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    let names = rendered.iter().map(container);
    join_all(names.map(async |name| docker.remove_container(&name, Some(options.clone())).await)).await;
    // It may not be there; if it cannot be removed, the next one cannot be made and says why.
    let _ = docker.remove_network(NETWORK).await;
}

fn network() -> NetworkCreateRequest {
    let subnet = IpamConfig { subnet: Some(format!("{SUBNET}.0/24")), ..IpamConfig::default() };
    NetworkCreateRequest {
        name: NETWORK.to_owned(),
        ipam: Some(Ipam { config: Some(vec![subnet]), ..Ipam::default() }),
        ..NetworkCreateRequest::default()
    }
}

fn container(node: &PlannedNode) -> String {
    format!("{NETWORK}-{}", node.name)
}

/// Makes a container with the node's files at an address, and starts it.
async fn start(docker: &Docker, node: &PlannedNode, address: &str) -> anyhow::Result<()> {
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(address.to_owned()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        entrypoint: Some(vec![node.executable.program.clone()]),
        cmd: Some(node.args.clone()),
        host_config: Some(HostConfig { network_mode: Some(NETWORK.to_owned()), ..HostConfig::default() }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(NETWORK.to_owned(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    };
    let name = container(node);
    docker
        .create_container(Some(CreateContainerOptionsBuilder::default().name(&name).build()), body)
        .await
        .with_context(|| format!("{IMAGE}: built by scripts/build/build-test-image.sh"))?;
    let options = UploadToContainerOptionsBuilder::default().path("/node").build();
    docker.upload_to_container(&name, Some(options), bollard::body_full(archive(node)?.into())).await?;
    Ok(docker.start_container(&name, None::<StartContainerOptions>).await?)
}

fn archive(node: &PlannedNode) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in &node.files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(file.text.len() as u64);
        archive.append_data(&mut header, &file.path, file.text.as_bytes())?;
    }
    archive.into_inner()
}
