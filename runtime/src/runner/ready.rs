//! When a cluster can be used: every node answers, has the peers its layout gives it, and the chain has
//! a first block. A node that ends meanwhile is noticed at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::context::NodeClients;
use crate::deployer::{DynCluster, LogPart, NodeStatus};
use crate::env;
use crate::failure::{Failure, FailureClass};
use crate::feed::{BlockFeed, NodeView};
use crate::node::NodeClient;
use crate::scenario::Scenario;
use crate::wait;

/// What each stage may take.
const STAGE: Duration = Duration::from_secs(60);
/// Lines of a dead node's log in the message.
const LINES: usize = 20;

/// Waits until the cluster can be used; the result follows its chain.
pub(super) async fn until_ready(
    cluster: &dyn DynCluster,
    clients: &NodeClients,
    scenario: &Scenario,
) -> Result<BlockFeed, Failure> {
    let stages = async {
        stages(cluster, clients, scenario).await?;
        let slot = scenario.topology().consensus().slot;
        let feed = BlockFeed::start(clients.all(), Arc::clone(&scenario.program), slot);
        let complete = tokio::time::timeout(env::settings().scaled(STAGE), feed.complete()).await;
        complete.map(|()| feed.clone()).map_err(|_| {
            Failure::new(FailureClass::Infrastructure, "ready")
                .expected("every node to tell its whole chain")
                .seen_all(feed.nodes().iter().map(NodeView::describe))
        })
    };
    tokio::select! {
        biased;
        failure = first_exit(cluster) => Err(failure),
        ready = stages => ready,
    }
}

async fn stages(cluster: &dyn DynCluster, clients: &NodeClients, scenario: &Scenario) -> Result<(), Failure> {
    let topology = scenario.topology();
    stage(cluster, clients, "to answer over HTTP", |client, _| async move {
        client.consensus_info().await.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    stage(cluster, clients, "to have the peers of its layout", |client, index| async move {
        let wanted = topology.peers_at_start(index);
        match client.network_info().await {
            Ok(info) if info.n_peers >= wanted => Ok(()),
            Ok(info) => Err(format!("{} of at least {wanted} peers", info.n_peers)),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    stage(cluster, clients, "to have a first block", |client, _| async move {
        match client.consensus_info().await {
            Ok(info) if info.height > 0 => Ok(()),
            Ok(info) => Err(format!("height 0, tip {}", info.tip.short())),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// Waits until `probe` holds for every node; the failure tells each node's last answer.
async fn stage<F: Future<Output = Result<(), String>>>(
    cluster: &dyn DynCluster,
    clients: &NodeClients,
    what: &str,
    probe: impl Fn(NodeClient, usize) -> F,
) -> Result<(), Failure> {
    let waited = wait::until(what, env::settings().scaled(STAGE), || {
        let probes = clients.all().iter().enumerate().map(|(index, client)| probe(client.clone(), index));
        let answers = join_all(probes);
        async {
            let answers = answers.await;
            if answers.iter().all(Result::is_ok) { Ok(()) } else { Err(answers) }
        }
    })
    .await;
    let Err(timed_out) = waited else { return Ok(()) };
    let mut failure = Failure::new(FailureClass::Infrastructure, "ready")
        .expected(format!("every node {what} within {}", humantime::format_duration(timed_out.within)))
        .try_next("read the named nodes' logs; `SLOW_TEST_ENV=true` doubles every timeout");
    let answers = timed_out.last.unwrap_or_default();
    let answers = clients.all().iter().zip(answers.into_iter().map(Some).chain(std::iter::repeat(None)));
    let mut behind = Vec::new();
    for (client, answer) in answers {
        let seen = match answer {
            Some(Ok(())) => "is so".to_owned(),
            Some(Err(seen)) => seen,
            None => "no answer".to_owned(),
        };
        if seen != "is so" {
            behind.push(client.name());
        }
        failure = failure.seen(format!("{}: {seen}", client.name()));
    }
    for node in behind {
        failure = with_log(cluster, node, failure).await;
    }
    Err(failure)
}

/// Completes when a node ended that should run.
async fn first_exit(cluster: &dyn DynCluster) -> Failure {
    let mut version = 0;
    loop {
        let states = match cluster.states(version).await {
            Ok(states) => states,
            Err(error) => {
                return Failure::new(FailureClass::Infrastructure, "ready").seen(error.to_string());
            }
        };
        version = states.version;
        let ended = states.nodes.iter().find_map(|node| match &node.status {
            NodeStatus::Exited(how) => Some((&node.name, how)),
            _ => None,
        });
        if let Some((node, how)) = ended {
            let failure = Failure::new(FailureClass::Infrastructure, "ready")
                .expected(format!("{node} to start and keep running"))
                .seen(format!("{node} ended by itself with {how}"))
                .try_next("the last lines of its log mostly say why");
            return with_log(cluster, node, failure).await;
        }
    }
}

async fn with_log(cluster: &dyn DynCluster, node: &str, failure: Failure) -> Failure {
    let place = cluster.description().nodes.iter().find(|endpoints| endpoints.name == node);
    let failure = place.into_iter().fold(failure, |failure, endpoints| failure.look(&endpoints.log));
    match cluster.logs(node, LogPart::Last(LINES)).await {
        Ok(log) if log.text.trim().is_empty() => failure.seen(format!("{node}'s log is empty")),
        Ok(log) => failure.seen(format!("last lines of {node}'s log:\n{}", log.text.trim_end())),
        Err(error) => failure.seen(format!("{node}'s log cannot be read: {error}")),
    }
}
