//! The relay between containers.

use anyhow::{Context, anyhow, ensure};
use logos_scenario::deployer::Cluster;
use logos_scenario::faults::NetworkFault;
use logos_scenario::{
    ChainAgreement, ComposeDeployer, Deployer, NodeClient, Scenario, ScenarioBuilder, ScenarioBuilderExt,
    Topology, wait,
};
use logos_scenario_devnode::Devnode;

use crate::engine::{docker, labelled};
use crate::{Outcome, WITHIN, placement};

fn scenario() -> anyhow::Result<Scenario> {
    let topology = Topology::with_node_counts(2, 0).slot(std::time::Duration::from_millis(300));
    Ok(ScenarioBuilder::with_topology(topology)
        .with_program(Devnode::default())
        .enable_faults()
        .with_expectation(ChainAgreement::default())
        .build()?)
}

/// Somebody kills it while a node is cut off: all links are gone, and that is no doing of the nodes.
pub(crate) async fn its_end_is_told_and_heals_nothing() -> Outcome {
    let (_directory, place, label) = placement()?;
    let cluster = ComposeDeployer::default().provision(&scenario()?.plan("compose"), &place).await?;
    cluster.disturb(vec![NetworkFault::Isolate("validator-1".into())]).await?;
    let relay = labelled(&label)?.into_iter().find(|name| name.ends_with("_relay_1"));
    docker(&["kill", &relay.context("it has a container")?])?;
    let mut version = 0;
    let told = async {
        loop {
            let states = cluster.states(version).await?;
            version = states.version;
            if let Some(how) = states.broken {
                return anyhow::Ok(how);
            }
        }
    };
    let how = tokio::time::timeout(WITHIN, told).await.context("its end is not told")??;
    ensure!(how.starts_with("the relay between the nodes, container logos-scenario-"), "{how}");
    ensure!(how.contains("ended with signal 9 (SIGKILL); its log is "), "{how}");
    let refused = cluster.links().await.err().context("nobody is there to be asked")?;
    ensure!(refused.to_string().starts_with("relay: does not answer at "), "{refused}");
    let node = &cluster.description().nodes[1];
    let client = NodeClient::new(&node.name, node.role, cluster.connect(&node.addresses["http"]));
    let alone = || async {
        match client.network_info().await {
            Ok(info) if info.n_peers == 0 => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    };
    wait::until("no peer", WITHIN, alone).await.map_err(|error| anyhow!("{error}"))?;
    cluster.teardown().await?;
    let left = labelled(&label)?;
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}
