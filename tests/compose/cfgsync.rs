//! Nodes that fetch their configuration run as those that find it.

use std::net::TcpStream;

use anyhow::{Context, anyhow, ensure};
use logos_scenario::deployer::{Cluster, NodeAction};
use logos_scenario::{
    ChainAgreement, ComposeDeployer, Deployer, NodeClient, ScenarioBuilder, ScenarioBuilderExt, wait,
};
use logos_scenario_devnode::Devnode;

use crate::{Outcome, WITHIN, placement, validators};

pub(crate) async fn nodes_fetch_their_configuration_at_every_start() -> Outcome {
    let scenario = ScenarioBuilder::with_topology(
        validators(2).executors(1).slot(std::time::Duration::from_millis(300)),
    )
    .with_program(Devnode::default().fetching())
    .with_expectation(ChainAgreement::default())
    .build()?;
    let (directory, place, _) = placement()?;
    let cluster = ComposeDeployer::default().provision(&scenario.plan("compose"), &place).await?;
    let file = std::fs::read_to_string(directory.path().join("docker-compose.yml"))?;
    ensure!(file.contains("CFG_HOST_KIND: executor") && !file.contains("secrets:"), "{file}");
    let server =
        file.split_whitespace().find_map(|word| word.strip_prefix("http://")).context("it is named")?;
    let elsewhere = server.replace(server.split(':').next().unwrap_or_default(), "127.0.0.1");
    let answers = |address: &str| TcpStream::connect(address).is_ok();
    ensure!(answers(server) && !answers(&elsewhere), "it listens at {elsewhere}, not at {server} alone");
    for node in &cluster.description().nodes {
        let client = NodeClient::new(&node.name, node.role, cluster.connect(&node.addresses["http"]));
        let grown = || async {
            match client.consensus_info().await {
                Ok(info) if info.height > 1 => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        };
        wait::until("two blocks", WITHIN, grown).await.map_err(|error| anyhow!("{error}"))?;
        cluster.control(&node.name, NodeAction::Restart).await?;
        wait::until("two blocks after the restart", WITHIN, grown)
            .await
            .map_err(|error| anyhow!("{error}"))?;
    }
    Ok(cluster.teardown().await?)
}
