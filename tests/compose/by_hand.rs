//! The rendered file in the hands of Compose's own tool.

use anyhow::{Context, anyhow, ensure};
use logos_scenario::deployer::Cluster;
use logos_scenario::{ComposeDeployer, Deployer, NodeClient, wait};

use crate::engine::{docker, run};
use crate::{Outcome, WITHIN, placement, scenario, validators};

/// Whether neither tool is installed; told without starting the one that takes long to start.
pub(crate) fn missing() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a tool is looked for, and no setting read")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_old = std::env::split_paths(&path).any(|folder| folder.join("docker-compose").is_file());
    let missing = !has_old && tool().is_none();
    missing.then(|| "neither `docker compose` nor `docker-compose` is installed".to_owned())
}

/// The tool that is installed, in the order of preference.
fn tool() -> Option<&'static [&'static str]> {
    let tools: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let answers = |tool: &&[&str]| {
        let arguments = [&tool[1..], &["version"]].concat();
        run(tool[0], &arguments, std::path::Path::new("/")).is_ok()
    };
    tools.into_iter().find(answers)
}

pub(crate) async fn the_compose_tool_starts_the_same_cluster() -> Outcome {
    let tool = tool().context("it was there when this program started")?;
    let (directory, place, _) = placement()?;
    let cluster =
        ComposeDeployer::default().provision(&scenario(validators(2))?.plan("compose"), &place).await?;
    let nodes = cluster.description().nodes.clone();
    cluster.teardown().await?;
    let file = std::fs::read_to_string(directory.path().join("docker-compose.yml"))?;
    let project =
        file.split_whitespace().skip_while(|word| *word != "-p").nth(1).context("it says how to use it")?;
    let by_hand = |arguments: &[&str]| {
        let arguments = [&tool[1..], &["-p", project, "-f", "docker-compose.yml"], arguments].concat();
        run(tool[0], &arguments, directory.path())
    };
    let started = by_hand(&["up", "-d"]);
    let outcome = match &started {
        Ok(_) => grow(&nodes.iter().map(client).collect::<Vec<_>>()).await,
        Err(error) => Err(anyhow!("{error:#}")),
    };
    let logs = by_hand(&["logs", "--no-color"]).unwrap_or_default();
    by_hand(&["down", "-v"])?;
    outcome.with_context(|| logs)?;
    let left = docker(&["ps", "-a", "--filter", &format!("name={project}"), "--format", "{{.Names}}"])?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

fn client(node: &logos_scenario::deployer::NodeEndpoints) -> NodeClient {
    let transport = logos_scenario::node::HttpTransport::new(format!("http://{}", node.addresses["http"]));
    NodeClient::new(&node.name, node.role, std::sync::Arc::new(transport))
}

/// Both nodes answer, and one follows the other.
async fn grow(clients: &[NodeClient]) -> Outcome {
    let grown = || async {
        for client in clients {
            let info = client.consensus_info().await.map_err(|error| error.to_string())?;
            if info.height < 3 {
                return Err(format!("{} has height {}", client.name(), info.height));
            }
        }
        Ok(())
    };
    wait::until("three blocks", WITHIN, grown).await.map_err(|error| anyhow!("{error}"))
}
