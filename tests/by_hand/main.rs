//! Scenarios built and run by hand, without the harness, on the local backend and on one of our own.

mod metrics;
mod plain;
mod programs;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::anyhow;
use logos_scenario::{
    ChainAgreement, Deployer, FailureClass, LocalDeployer, Report, RunFailed, Runner, ScenarioBuilder,
    ScenarioBuilderExt, Topology, wait,
};
use logos_scenario_devnode::Devnode;
use plain::Plain;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

fn devnode() -> Devnode {
    Devnode::at(env!("CARGO_BIN_EXE_devnode"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_of_builder_calls_runs() -> anyhow::Result<()> {
    let scenario = ScenarioBuilder::topology_with(|t| {
        t.network_star().validators(3).executors(2).slot(Duration::from_millis(500))
    })
    .with_program(devnode())
    .wallets(50)
    .transactions_with(|txs| txs.rate(5).users(20))
    .expect_consensus_liveness()
    .with_run_duration(Duration::from_secs(10))
    .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let report = runner.run(&scenario).await?;
    // A loaded machine may be too slow for the last few; inclusion fails where it is for more than 5 %.
    assert!((86..=90).contains(&report.workloads["transactions"].0["submitted"]), "{report}");
    assert_eq!(report.held, ["NoCrash", "ConsensusLiveness", "TransactionInclusion"]);
    let again: Report = runner.run(&scenario).await?;
    assert!(again.workloads["transactions"].0["submitted"] > 0, "a scenario can be run again on its cluster");
    runner.teardown().await?;
    Ok(())
}

#[tokio::test]
async fn a_scenario_for_another_cluster_is_refused() -> anyhow::Result<()> {
    let scenario = |nodes: usize| {
        ScenarioBuilder::with_topology(Topology::with_node_counts(nodes, 0).slot(Duration::from_millis(500)))
            .with_program(devnode())
            .expect_consensus_liveness()
            .with_run_duration(Duration::from_secs(8))
            .build()
    };
    let runner = LocalDeployer::default().deploy(&scenario(1)?).await?;
    let refused: RunFailed = runner.run(&scenario(2)?).await.expect_err("the cluster has one node");
    assert_eq!(refused.class(), FailureClass::Test);
    assert!(refused.to_string().contains("a scenario for this cluster"), "{refused}");
    runner.teardown().await?;
    Ok(())
}

/// A program of its own is told by what it prints first.
#[tokio::test]
async fn a_node_goes_on_with_another_program() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("another");
    let script = format!("#!/bin/sh\necho another build\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_devnode"));
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let scenario = ScenarioBuilder::with_topology(Topology::single().slot(Duration::from_millis(300)))
        .with_program(devnode())
        .with_expectation(ChainAgreement::default())
        .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let (node, control) = ("validator-0", runner.control());
    let client = runner.node_clients().by_name(node).expect("it is planned");
    let before = client.consensus_info().await?;
    let missing = control.restart_with(node, |node| node.binary(directory.path().join("none"))).await;
    assert!(missing.is_err_and(|error| error.what.contains("is not a file")), "there is no such program");
    assert_eq!(control.state(node).await?.starts, 1, "what is refused is so before the node is stopped");

    control.stop(node).await?;
    control.start_with(node, |node| node.binary(&program)).await?;
    let has_block = || async {
        match client.block(before.tip).await {
            Ok(Some(_)) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    };
    wait::until("the chain that it had", WITHIN, has_block).await?;
    assert!(control.last_lines(node, 1_000).await?.contains("another build"), "the old program runs");
    assert!(control.start_with(node, |node| node).await.is_err_and(|error| error.what.contains("running")));
    runner.teardown().await?;
    Ok(())
}

#[tokio::test]
async fn a_scenario_that_needs_more_than_its_backend_can_is_refused() -> anyhow::Result<()> {
    let scenario = ScenarioBuilder::with_topology(Topology::two_validators())
        .with_program(devnode())
        .enable_node_control()
        .expect_consensus_liveness()
        .build()?;
    let refused = Plain.deploy(&scenario).await.expect_err("a plain backend controls no nodes");
    assert_eq!(refused.class(), FailureClass::Infrastructure);
    assert!(refused.to_string().contains("`plain` to be capable of node_control"), "{refused}");
    Ok(())
}

#[test]
fn a_run_by_hand_tells_its_seed_and_its_files() -> anyhow::Result<()> {
    let mut child = runner(&["--validators", "1", "--executors", "0"], "18446744073709551615").spawn()?;
    let mut said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let seed = said.next().expect("it says something before it deploys")?;
    let files = said.next().expect("it says two lines")?;
    child.kill()?;
    child.wait()?;
    assert_eq!(seed, "seed: 18446744073709551615");
    let directory = files.strip_prefix("files: ").expect("it says where they are");
    assert!(std::path::Path::new(directory).is_dir(), "{directory} is no directory");
    Ok(())
}

#[test]
fn a_bad_setting_is_a_problem_of_the_scenario_by_hand_too() -> anyhow::Result<()> {
    let output = runner(&[], "-1").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("SCENARIO_SEED: `-1`, expected an integer from 0 to 2^64 - 1; try 1"), "{said}");
    Ok(())
}

/// The runner example with a seed from outside.
fn runner(args: &[&str], seed: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "settings are read once per process")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_local_runner"));
    command.args(args).env("SCENARIO_SEED", seed).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn a_node_that_cannot_start_is_told_with_its_last_lines() -> anyhow::Result<()> {
    let topology = Topology::two_validators()
        .with_node("validator-1", |node| node.config("http", "${host:validator-0}:${port:validator-0/http}"));
    let scenario = ScenarioBuilder::with_topology(topology)
        .with_program(devnode())
        .expect_consensus_liveness()
        .with_run_duration(Duration::from_secs(60))
        .build()?;
    let began = std::time::Instant::now();
    let failed = LocalDeployer::default().deploy(&scenario).await.expect_err("two nodes want one port");
    let text = failed.to_string();
    assert_eq!(failed.class(), FailureClass::Infrastructure);
    for part in
        ["ended by itself with exit code 1", "last lines of validator-", "in use", "look at: ", ".log"]
    {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "an exit is not a timeout");
    Ok(())
}

#[tokio::test]
async fn nodes_can_be_killed_and_started_and_catch_up() -> anyhow::Result<()> {
    let scenario =
        ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0).slot(Duration::from_millis(300)))
            .with_program(devnode())
            .expect_consensus_liveness()
            .with_run_duration(Duration::from_secs(8))
            .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let control = runner.control();
    control.kill("validator-1").await?;
    let before = runner.node_clients().by_name("validator-0").expect("it is there").consensus_info().await?;
    reaches(&runner, "validator-0", before.height + 3).await?;
    control.start("validator-1").await?;
    reaches(&runner, "validator-1", before.height + 3).await?;
    runner.teardown().await?;
    Ok(())
}

/// Waits until a node's chain has a height; where it does not, its state and log are told.
async fn reaches(runner: &Runner, node: &str, height: u64) -> anyhow::Result<()> {
    let client = runner.node_clients().by_name(node).expect("the test names a node of its topology");
    let probe = || async {
        match client.consensus_info().await {
            Ok(info) if info.height >= height => Ok(()),
            Ok(info) => Err(format!("height {}", info.height)),
            Err(error) => Err(error.to_string()),
        }
    };
    let Err(timed_out) = wait::until(&format!("height {height} of {node}"), WITHIN, probe).await else {
        return Ok(());
    };
    let status = runner.control().state(node).await?.status;
    let log = runner.control().last_lines(node, 20).await?;
    Err(anyhow!("{timed_out}; {node} is {status}; last lines of its log:\n{log}"))
}

#[tokio::test]
async fn a_late_node_joins_a_running_scenario() -> anyhow::Result<()> {
    let topology = Topology::with_node_counts(3, 0)
        .slot(Duration::from_millis(300))
        .with_node("validator-2", |node| node.late().stake(1).dials(["validator-1"]));
    let scenario = ScenarioBuilder::with_topology(topology)
        .with_program(devnode())
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default())
        .with_run_duration(Duration::from_secs(10))
        .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let driving = runner.start(&scenario).await?;
    reaches(&runner, "validator-0", 5).await?;
    runner.control().start("validator-2").await?;
    driving.finish().await?;
    reaches(&runner, "validator-2", 5).await?;
    let late = runner.node_clients().by_name("validator-2").expect("it is there");
    let peers = late.network_info().await?.n_peers;
    assert!(peers > 0, "it has the peer that it dials");
    runner.teardown().await?;
    Ok(())
}

/// What a cluster that does not become ready is told to be, on real nodes.
async fn check_refused(topology: logos_scenario::topology::TopologyBuilder, texts: &[&str]) {
    let scenario = ScenarioBuilder::with_topology(topology.slot(Duration::from_millis(300)))
        .with_program(devnode())
        .expect_consensus_liveness()
        .with_run_duration(Duration::from_secs(60))
        .build()
        .expect("the scenario is valid");
    let failed = LocalDeployer::default().deploy(&scenario).await.expect_err("it does not become ready");
    assert_eq!(failed.class(), FailureClass::Infrastructure);
    for text in texts {
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
}

#[tokio::test]
async fn a_node_that_answers_garbage_is_told() {
    let topology =
        Topology::two_validators().with_node("validator-1", |node| node.config("faults.http", "garbage"));
    let texts = ["validator-0: is so", "something answers there, but not as a node of this program"];
    check_refused(topology, &texts).await;
}

#[tokio::test]
async fn a_program_of_one_nodes_own_is_told_where_it_is_missing() {
    let topology = Topology::two_validators().with_node("validator-1", |node| node.binary("/no/such/node"));
    let texts = ["validator-1: its own program `/no/such/node` is not a file", "node.binary(..)"];
    check_refused(topology, &texts).await;
}

#[tokio::test]
async fn nodes_may_run_programs_of_their_own() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("another-version");
    std::fs::copy(env!("CARGO_BIN_EXE_devnode"), &other)?;
    let topology = Topology::two_validators()
        .slot(Duration::from_millis(300))
        .with_node("validator-1", |node| node.binary(&other));
    let scenario = ScenarioBuilder::with_topology(topology)
        .with_program(devnode())
        .expect_consensus_liveness()
        .with_run_duration(Duration::from_secs(8))
        .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let running = std::fs::read_dir("/proc")?.flatten().filter_map(|process| {
        std::fs::read_link(process.path().join("exe")).ok().filter(|program| *program == other)
    });
    assert_eq!(running.count(), 1, "one node runs the other program");
    runner.run(&scenario).await?;
    runner.teardown().await?;
    Ok(())
}

#[tokio::test]
async fn a_backend_of_ones_own_runs_the_same_scenarios() -> anyhow::Result<()> {
    let scenario =
        ScenarioBuilder::with_topology(Topology::with_node_counts(2, 1).slot(Duration::from_millis(300)))
            .with_program(devnode())
            .transactions_with(|txs| txs.rate(2).users(10))
            .expect_consensus_liveness()
            .with_run_duration(Duration::from_secs(8))
            .build()?;
    let runner = Plain.deploy(&scenario).await?;
    let report = runner.run(&scenario).await?;
    assert!(report.held.iter().any(|name| name == "TransactionInclusion"), "{report}");
    runner.teardown().await?;
    Ok(())
}
