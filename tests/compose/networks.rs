//! How nodes are reached, and by whom.

use std::collections::BTreeSet;

use anyhow::{Context, anyhow, ensure};
use futures::future::{join_all, try_join_all};
use logos_scenario::deployer::{Cluster, NodeAction};
use logos_scenario::{ComposeDeployer, Deployer, Layout, NodeClient, Runner, wait};

use crate::engine::Owner;
use crate::{Outcome, WITHIN, deploy, placement, scenario, validators};

async fn height(client: &NodeClient) -> Result<u64, String> {
    client.consensus_info().await.map(|info| info.height).map_err(|error| error.to_string())
}

fn client<'a>(runner: &'a Runner, name: &str) -> anyhow::Result<&'a NodeClient> {
    runner.node_clients().by_name(name).with_context(|| format!("no client of {name}"))
}

/// The chain of the others goes on without the isolated node, which still answers; then all agree again.
pub(crate) async fn an_isolated_node_answers_and_hears_nothing() -> Outcome {
    // A chain that may fork deeply: the node that is alone goes on making blocks of its own.
    let runner = deploy(validators(4).network(Layout::Full).security_param(1_000)).await?;
    let (alone, other) = (client(&runner, "validator-3")?, client(&runner, "validator-0")?);
    runner.control().isolate("validator-3").await?;
    let parted = height(other).await.map_err(|error| anyhow!(error))?;
    let ahead = || async {
        match (height(other).await, height(alone).await) {
            (Ok(other), Ok(alone)) if other > parted + 10 && alone < other => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    };
    wait::until("the others to be ahead", WITHIN, ahead).await.map_err(|error| anyhow!("{error}"))?;

    let again = runner.control().isolate("validator-3").await.err().context("it is isolated")?;
    ensure!(again.to_string() == "validator-3: is isolated already", "{again}");
    let started =
        runner.control().restart("validator-3").await.err().context("it has no network to start in")?;
    ensure!(started.to_string().contains("let it rejoin first"), "{started}");
    runner.control().rejoin("validator-3").await?;
    let agree = || async {
        match (other.consensus_info().await, alone.consensus_info().await) {
            (Ok(one), Ok(two)) if one.tip == two.tip => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    };
    wait::until("both to have one tip", WITHIN, agree).await.map_err(|error| anyhow!("{error}"))?;
    Ok(runner.teardown().await?)
}

/// As where the engine runs in a virtual machine.
pub(crate) async fn published_ports_follow_a_restart() -> Outcome {
    let deployer = ComposeDeployer::default().publishing_ports();
    let (_directory, place, _) = placement()?;
    let cluster = deployer.provision(&scenario(validators(1))?.plan("compose"), &place).await?;
    let node = &cluster.description().nodes[0];
    let address = &node.addresses["http"];
    ensure!(address.starts_with("127.0.0.1:") && !address.ends_with(":18080"), "{address}");
    let client = NodeClient::new(&node.name, node.role, cluster.connect(address));
    let answers = || height(&client);
    wait::until("an answer", WITHIN, answers).await.map_err(|error| anyhow!("{error}"))?;
    cluster.control("validator-0", NodeAction::Restart).await?;
    wait::until("an answer after the restart", WITHIN, answers).await.map_err(|error| anyhow!("{error}"))?;
    Ok(cluster.teardown().await?)
}

/// More clusters than an engine's own pools have networks for, none of whose nodes is started.
pub(crate) async fn forty_clusters_have_networks_of_their_own() -> Outcome {
    let mut plan = scenario(validators(1))?.plan("compose");
    plan.nodes[0].late = true;
    let made = (0..40).map(async |_| {
        let (directory, place, _) = placement()?;
        Ok::<_, anyhow::Error>((ComposeDeployer::default().provision(&plan, &place).await?, directory))
    });
    let made = join_all(made).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let addresses: BTreeSet<_> =
        made.iter().map(|(cluster, _)| &cluster.description().nodes[0].addresses["http"]).collect();
    ensure!(addresses.len() == made.len(), "{addresses:?}");
    try_join_all(made.iter().map(|(cluster, _)| cluster.teardown())).await?;
    Ok(())
}

/// Two clusters have all four networks of a pool; who comes third is told.
pub(crate) async fn processes_share_a_pool_to_its_end() -> Outcome {
    // Below the default pool, and this process's own.
    let number = std::process::id() % (14 * 64);
    let pool = format!("10.{}.{}.0/22", 128 + number / 64, number % 64 * 4);
    let owner = || Owner::start("SCENARIO_SUBNETS", &pool);
    let (one, other) = (owner()?, owner()?);
    one.runs().await?;
    other.runs().await?;
    let third = owner()?;
    let (code, said) = tokio::task::spawn_blocking(|| third.ends()).await??;
    let told = format!("every /24 of {pool} belongs to another network of the engine");
    ensure!(code == Some(3) && said.contains(&told), "exit code {code:?}, no `{told}` in:\n{said}");
    Ok(())
}
