//! The promises of `Cluster`.

use std::collections::BTreeSet;

use anyhow::{Context, anyhow, ensure};
use logos_scenario::deployer::{Cluster, Log, LogPart, NodeAction, NodeStatus, States};
use logos_scenario::plan::{PlannedNode, Protocol};
use logos_scenario::{Deployer, Role, Topology, wait};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Outcome;
use crate::subject::{Fixture, GONE_WITHIN, Subject, WITHIN, validators};

pub(crate) async fn the_description_follows_the_plan(subject: Subject) -> Outcome {
    let plan = subject.plan(Topology::with_node_counts(2, 1))?;
    let fixture = subject.provision(&plan).await?;
    let mut addresses = BTreeSet::new();
    for (planned, node) in plan.nodes.iter().zip(&fixture.cluster.description().nodes) {
        ensure!((&planned.name, planned.role) == (&node.name, node.role), "{node:?}");
        let tcp = planned.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        let ports: BTreeSet<_> = tcp.map(|port| &port.name).collect();
        ensure!(ports == node.addresses.keys().collect(), "{node:?}");
        for address in node.addresses.values() {
            ensure!(addresses.insert(address), "{address} stands twice");
        }
        ensure!(!node.log.is_empty(), "{node:?}");
        fixture.answers(&node.name).await?;
    }
    ensure!(fixture.names().len() == plan.nodes.len(), "{:?}", fixture.names());
    Ok(fixture.cluster.teardown().await?)
}

/// Reads states, each newer than the last, until the node's status is one that is looked for.
async fn status_until(
    fixture: &Fixture,
    mut version: u64,
    node: &str,
    wanted: impl Fn(&NodeStatus) -> bool,
) -> anyhow::Result<NodeStatus> {
    let changes = async {
        loop {
            let States { version: newer, nodes, .. } = fixture.cluster.states(version).await?;
            ensure!(newer > version, "version {newer} after {version}");
            version = newer;
            let state = nodes.into_iter().find(|state| state.name == node).context("it has a state")?;
            if wanted(&state.status) {
                return Ok(state.status);
            }
        }
    };
    tokio::time::timeout(WITHIN, changes).await.with_context(|| format!("{node} never had the status"))?
}

pub(crate) async fn an_exit_is_told_with_its_cause(subject: Subject) -> Outcome {
    let topology = validators(2).with_node("validator-1", |node| node.config("faults.panic_at", 1));
    let fixture = subject.provision(&subject.plan(topology)?).await?;
    let exited = |status: &NodeStatus| matches!(status, NodeStatus::Exited(_));
    let status = status_until(&fixture, 0, "validator-1", exited).await?;
    ensure!(status == NodeStatus::Exited("exit code 101".to_owned()), "{status}");
    let state = fixture.state("validator-1").await?;
    ensure!((state.starts, state.starts_by_us) == (1, 1), "{state:?}");
    let log = fixture.cluster.logs("validator-1", LogPart::From(0)).await?.text;
    ensure!(log.contains("panicked at"), "the log ends with {:?}", log.lines().last());
    fixture.expect_status("validator-0", &NodeStatus::Running).await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn changes_are_told_when_they_happen(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    let version = fixture.cluster.states(0).await?.version;
    let (told, killed) = tokio::join!(
        status_until(&fixture, version, "validator-1", |status| *status == NodeStatus::Stopped),
        fixture.cluster.control("validator-1", NodeAction::Kill),
    );
    killed?;
    told?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn actions_are_done_when_they_return(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    let node = "validator-1";
    for end in [NodeAction::Stop, NodeAction::Kill] {
        fixture.cluster.control(node, end).await?;
        fixture.expect_status(node, &NodeStatus::Stopped).await?;
        fixture.is_silent(node).await?;
        fixture.cluster.control(node, NodeAction::Start).await?;
        fixture.expect_status(node, &NodeStatus::Running).await?;
        fixture.agrees().await?;
    }
    fixture.cluster.control(node, NodeAction::Restart).await?;
    fixture.agrees().await?;
    let state = fixture.state(node).await?;
    ensure!((state.starts, state.starts_by_us) == (4, 4), "{state:?}");
    if subject.backend.capabilities().pause {
        fixture.cluster.control(node, NodeAction::Pause).await?;
        fixture.expect_status(node, &NodeStatus::Paused).await?;
        fixture.is_silent(node).await?;
        fixture.cluster.control(node, NodeAction::Resume).await?;
        fixture.expect_status(node, &NodeStatus::Running).await?;
        fixture.agrees().await?;
        ensure!(fixture.state(node).await?.starts == 4, "a resumed node is the one that was paused");
        fixture.cluster.control(node, NodeAction::Pause).await?;
        fixture.cluster.control(node, NodeAction::Stop).await?;
        fixture.expect_status(node, &NodeStatus::Stopped).await?;
    }
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn an_isolated_node_answers_and_has_no_peers(subject: Subject) -> Outcome {
    if !subject.backend.capabilities().isolate {
        return Ok(());
    }
    // A chain that may fork deeply: until a node notices that it is alone, both go on making blocks.
    let fixture = subject.answering(validators(2).security_param(1_000)).await?;
    let node = "validator-1";
    has_peers(&fixture, node, true).await?;
    for _ in 0..2 {
        fixture.cluster.control(node, NodeAction::Isolate).await?;
        fixture.expect_status(node, &NodeStatus::Running).await?;
        has_peers(&fixture, node, false).await?;
        fixture.cluster.control(node, NodeAction::Rejoin).await?;
        has_peers(&fixture, node, true).await?;
        fixture.agrees().await?;
    }
    ensure!(fixture.state(node).await?.starts == 1, "it is the node that was isolated");
    Ok(fixture.cluster.teardown().await?)
}

/// Waits until the node answers that it has peers, or none.
async fn has_peers(fixture: &Fixture, node: &str, wanted: bool) -> Outcome {
    let client = fixture.client(node);
    let probe = || async {
        match client.network_info().await {
            Ok(info) if (info.n_peers > 0) == wanted => Ok(()),
            Ok(info) => Err(format!("{} peers", info.n_peers)),
            Err(error) => Err(error.to_string()),
        }
    };
    wait::until("its peers to change", WITHIN, probe).await.map_err(|error| anyhow!("{node}: {error}"))
}

/// A single node has its chain from nobody else.
pub(crate) async fn data_survives(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(1)).await?;
    let node = "validator-0";
    let mut height = 0;
    for actions in [
        [NodeAction::Stop, NodeAction::Start].as_slice(),
        &[NodeAction::Kill, NodeAction::Start],
        &[NodeAction::Restart],
    ] {
        fixture.reaches(node, height + 2).await?;
        let before = fixture.client(node).consensus_info().await?;
        for action in actions {
            fixture.cluster.control(node, *action).await?;
        }
        fixture.answers(node).await?;
        let block = fixture.client(node).block(before.tip).await?;
        ensure!(block.is_some(), "after {actions:?} {node} has no block {} any more", before.tip);
        height = before.height;
    }
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn what_cannot_be_done_changes_nothing(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    fixture.cluster.control("validator-1", NodeAction::Kill).await?;
    let before = fixture.cluster.states(0).await?.nodes;
    for (node, action, text) in [
        ("validator-0", NodeAction::Start, "validator-0: cannot be told to start: it is running"),
        ("validator-0", NodeAction::Resume, "validator-0: cannot be told to resume: it is running"),
        ("validator-1", NodeAction::Stop, "validator-1: cannot be told to stop: it is stopped"),
        ("validator-1", NodeAction::Kill, "validator-1: cannot be told to die: it is stopped"),
        ("validator-1", NodeAction::Pause, "validator-1: cannot be told to pause: it is stopped"),
        ("nobody", NodeAction::Kill, "nobody: there is no such node; there are validator-0, validator-1"),
    ] {
        let error = fixture.cluster.control(node, action).await.err().context("it cannot be done")?;
        ensure!(error.to_string() == text, "expected `{text}`, seen `{error}`");
    }
    let error = fixture.cluster.logs("nobody", LogPart::From(0)).await.err().context("it has no log")?;
    ensure!(error.to_string().starts_with("nobody: there is no such node"), "{error}");
    let after = fixture.cluster.states(0).await?.nodes;
    ensure!(after == before, "expected {before:?}, seen {after:?}");
    fixture.answers("validator-0").await?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn logs_are_read_on_whether_a_node_lives_or_not(subject: Subject) -> Outcome {
    let topology = validators(2).with_node("validator-1", |node| node.late().stake(1));
    let fixture = subject.provision(&subject.plan(topology)?).await?;
    let never = fixture.cluster.logs("validator-1", LogPart::From(0)).await?;
    ensure!(never == Log::default(), "{never:?}");

    let node = "validator-0";
    fixture.reaches(node, 1).await?;
    let begin = fixture.cluster.logs(node, LogPart::From(0)).await?;
    ensure!(!begin.text.is_empty(), "a node that made a block says so in its log");
    let more = grown(&fixture, node, begin.end).await?;
    fixture.cluster.control(node, NodeAction::Kill).await?;
    let rest = fixture.cluster.logs(node, LogPart::From(more.end)).await?;
    let whole = fixture.cluster.logs(node, LogPart::From(0)).await?;
    ensure!(whole.text == [begin.text, more.text, rest.text].concat(), "parts do not make up the whole");
    ensure!(whole.end == rest.end, "{} and {}", whole.end, rest.end);
    let lines: Vec<_> = whole.text.lines().collect();
    let last = fixture.cluster.logs(node, LogPart::Last(2)).await?;
    ensure!(last.text.lines().eq(lines.iter().rev().take(2).rev().copied()), "{last:?}");

    fixture.cluster.control(node, NodeAction::Start).await?;
    let later = grown(&fixture, node, whole.end).await?;
    let again = fixture.cluster.logs(node, LogPart::From(0)).await?;
    ensure!(again.text.starts_with(&(whole.text + &later.text)), "the log of the first start is gone");
    fixture.cluster.teardown().await?;
    let dead = fixture.cluster.logs(node, LogPart::From(0)).await?;
    ensure!(dead.text.starts_with(&again.text), "the log is gone with its cluster");
    Ok(())
}

async fn grown(fixture: &Fixture, node: &str, from: u64) -> anyhow::Result<Log> {
    let read = || async {
        match fixture.cluster.logs(node, LogPart::From(from)).await {
            Ok(log) if !log.text.is_empty() => Ok(log),
            Ok(_) => Err("nothing new".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    wait::until("the log to grow", WITHIN, read).await.map_err(|error| anyhow!("{error}"))
}

pub(crate) async fn teardown_leaves_nothing_that_can_be_started(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    fixture.cluster.control("validator-1", NodeAction::Kill).await?;
    let (one, other) = tokio::join!(fixture.cluster.teardown(), fixture.cluster.teardown());
    one.and(other)?;
    fixture.cluster.teardown().await.context("once more")?;
    for node in fixture.names() {
        fixture.is_silent(&node).await?;
        fixture.expect_status(&node, &NodeStatus::Stopped).await?;
        for action in [NodeAction::Start, NodeAction::Restart] {
            let started = fixture.cluster.control(&node, action).await;
            let error = started.err().with_context(|| format!("{action} after the teardown"))?;
            ensure!(error.what.contains("its cluster is gone"), "{error}");
        }
    }
    Ok(())
}

pub(crate) async fn a_dropped_cluster_ends(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    let clients: Vec<_> = fixture.names().iter().map(|node| fixture.client(node)).collect();
    drop(fixture);
    for client in clients {
        let silent = || async {
            client.consensus_info().await.map_or(Ok(()), |info| Err(format!("height {}", info.height)))
        };
        wait::until("no answer", GONE_WITHIN, silent)
            .await
            .map_err(|error| anyhow!("{}: {error}", client.name()))?;
    }
    Ok(())
}

pub(crate) async fn everything_survives_json(subject: Subject) -> Outcome {
    let plan = subject.plan(validators(2))?;
    survives(&plan)?;
    let fixture = subject.provision(&plan).await?;
    survives(fixture.cluster.description())?;
    fixture.cluster.control("validator-1", NodeAction::Kill).await?;
    survives(&fixture.cluster.states(0).await?)?;
    survives(&fixture.cluster.logs("validator-1", LogPart::Last(3)).await?)?;
    survives(&fixture.cluster.control("nobody", NodeAction::Restart).await.err())?;
    survives(&subject.backend.capabilities())?;
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn what_a_node_uses_is_told_while_it_runs(subject: Subject) -> Outcome {
    let fixture = subject.answering(validators(2)).await?;
    let usage = fixture.cluster.usage("validator-1").await;
    if !subject.backend.capabilities().usage {
        let error = usage.err().context("it is told without the capability")?;
        ensure!(error.what.contains("cannot tell what its nodes use"), "{error}");
        return Ok(fixture.cluster.teardown().await?);
    }
    let before = usage?.context("nothing is told of a node that runs")?;
    ensure!(before.memory > 1 << 20, "a node holds {} bytes", before.memory);
    survives(&before)?;
    let grown = || async {
        let now = fixture.cluster.usage("validator-1").await.map_err(|error| error.to_string())?;
        let now = now.ok_or("nothing is told of it any more")?;
        if now.processor > before.processor { Ok(()) } else { Err(format!("{now:?}, before {before:?}")) }
    };
    wait::until("processor time to grow", WITHIN, grown).await.map_err(|error| anyhow!("{error}"))?;
    fixture.cluster.control("validator-1", NodeAction::Kill).await?;
    ensure!(fixture.cluster.usage("validator-1").await?.is_none(), "a killed node uses something");
    ensure!(fixture.cluster.usage("nobody").await.is_err(), "nobody uses something");
    Ok(fixture.cluster.teardown().await?)
}

/// The only node of its cluster has its chain from nobody else.
pub(crate) async fn a_replanned_node_is_so_from_its_next_start_on(subject: Subject) -> Outcome {
    let (node, plan) = ("validator-0", subject.plan(validators(1))?);
    let fixture = subject.provision(&plan).await?;
    fixture.reaches(node, 2).await?;
    let (before, client) = (fixture.client(node).consensus_info().await?, fixture.client(node));
    let deaf = validators(1).with_node(node, |node| node.config("faults.http", "garbage"));
    let deaf = subject.replanned(&plan, deaf, node)?;
    ensure!(deaf != plan.nodes[0], "nothing is planned anew");
    survives(&deaf)?;
    if !subject.backend.capabilities().replan {
        let error = fixture.cluster.replan(deaf).await.err().context("it is so without the capability")?;
        ensure!(error.what.contains("only as they were planned first"), "{error}");
        return Ok(fixture.cluster.teardown().await?);
    }
    fixture.cluster.replan(deaf).await?;
    fixture.reaches(node, before.height + 1).await?;
    let states = fixture.cluster.states(0).await?;
    ensure!(states.replanned.iter().eq([node]), "{states:?}");
    survives(&states)?;

    fixture.cluster.control(node, NodeAction::Restart).await?;
    let garbage = || async {
        match client.consensus_info().await {
            Ok(info) => Err(format!("height {}", info.height)),
            Err(error) if error.is_unreachable() => Err(error.to_string()),
            Err(_) => Ok(()),
        }
    };
    wait::until("garbage for an answer", WITHIN, garbage).await.map_err(|error| anyhow!("{error}"))?;

    fixture.cluster.replan(plan.nodes[0].clone()).await?;
    fixture.cluster.control(node, NodeAction::Kill).await?;
    fixture.cluster.control(node, NodeAction::Start).await?;
    fixture.reaches(node, before.height + 1).await?;
    ensure!(client.block(before.tip).await?.is_some(), "{node} has no block {} any more", before.tip);
    let log = fixture.cluster.logs(node, LogPart::From(0)).await?;
    let state = fixture.state(node).await?;
    ensure!((state.starts, state.starts_by_us) == (3, 3), "{state:?}");
    ensure!(!log.text.is_empty(), "its log is gone");
    Ok(fixture.cluster.teardown().await?)
}

pub(crate) async fn what_cannot_be_replanned_changes_nothing(subject: Subject) -> Outcome {
    let plan = subject.plan(validators(2))?;
    let fixture = subject.provision(&plan).await?;
    let (node, planned) = ("validator-1", &plan.nodes[1]);
    fixture.answers(node).await?;
    let (nobody, mut ports, mut role, mut symbol) = (
        PlannedNode { name: "nobody".into(), ..planned.clone() },
        planned.clone(),
        planned.clone(),
        planned.clone(),
    );
    ports.ports[0].number += 1;
    role.role = Role::Executor;
    symbol.args.push("${host:nobody}".to_owned());
    for (wrong, text) in [
        (nobody, "nobody: there is no such node; there are validator-0, validator-1"),
        (ports, "validator-1: cannot be planned anew with another role or other ports"),
        (role, "validator-1: cannot be planned anew with another role or other ports"),
        (symbol, "validator-1: the plan of node `validator-1` holds `${host:nobody}`"),
    ] {
        let error = fixture.cluster.replan(wrong).await.err().context("it cannot be so")?;
        let expected = if subject.backend.capabilities().replan { text } else { "planned anew" };
        ensure!(error.to_string().contains(expected), "expected `{text}`, seen `{error}`");
    }
    ensure!(fixture.cluster.states(0).await?.replanned.is_empty(), "something was planned anew");
    fixture.cluster.control(node, NodeAction::Restart).await?;
    fixture.answers(node).await?;
    fixture.cluster.teardown().await?;
    let error = fixture.cluster.replan(planned.clone()).await;
    ensure!(error.is_err(), "a node of a cluster that is gone was planned anew");
    Ok(())
}

fn survives<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Outcome {
    let text = serde_json::to_string(value)?;
    ensure!(serde_json::from_str::<T>(&text)? == *value, "{text} is read as something else");
    Ok(())
}
