//! What is told of a cluster that does not become ready, and how soon.

use std::time::Duration;

use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
use logos_scenario_runtime::topology::{NodeOverrides, TopologyBuilder};
use logos_scenario_runtime::{
    ChainAgreement, Deployer, FailureClass, RunFailed, Runner, ScenarioBuilder, ScenarioBuilderExt, Topology,
};
use tokio::time::Instant;

async fn deployed(topology: TopologyBuilder) -> Result<Runner, RunFailed> {
    let scenario = ScenarioBuilder::with_topology(topology)
        .with_program(FakeProgram)
        .with_expectation(ChainAgreement::default())
        .build()
        .expect("the scenario is valid");
    FakeDeployer::default().deploy(&scenario).await
}

/// Deploys three validators, one of them with a setting: the failure comes in time and has the texts.
async fn check(path: &str, value: impl Into<serde_json::Value>, within: Duration, texts: &[&str]) {
    let topology =
        Topology::with_node_counts(3, 0).with_node("validator-1", |node| node.config(path, value.into()));
    let began = Instant::now();
    let failed = deployed(topology).await.expect_err("the cluster does not become ready");
    assert!(began.elapsed() <= within, "told after {:?}", began.elapsed());
    assert_eq!((failed.class(), failed.failures.len()), (FailureClass::Infrastructure, 1), "{failed}");
    for text in texts {
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_opens_its_http_is_told_with_what_it_may_wait_for() {
    let texts = [
        "expected: every node to answer over HTTP within 1m",
        "validator-0: is so",
        "validator-1 did not answer validator-1/cryptarchia/info: connection refused",
        "last lines of validator-1's log:\n",
        "because: validator-1: a node opens its HTTP when all else it needs is there",
        "look at: the fake log of validator-1",
        "try: read the end of the named nodes' logs",
    ];
    check("faults.http", "closed", Duration::from_secs(61), &texts).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_garbage_is_told_within_seconds() {
    let texts = [
        "expected: every node to answer over HTTP as the node program's API",
        "<html>no node</html>",
        "because: validator-1: something answers there, but not as a node of this program",
        "try: see that the executable is the one",
    ];
    check("faults.http", "garbage", Duration::from_secs(5), &texts).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_is_told_at_once_with_its_log() {
    let texts = ["validator-1 ended by itself with exit code 101", "panicked at"];
    check("faults.panic_at", 0, Duration::from_secs(3), &texts).await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_never_begins_is_told() {
    let idle = |topology: TopologyBuilder, name: &str| {
        topology.with_node(name, |node| node.config("faults.stop_producing_at", 0))
    };
    let topology = ["validator-0", "validator-1"].into_iter().fold(Topology::two_validators(), idle);
    let failed = deployed(topology).await.expect_err("there is no block");
    assert!(failed.to_string().contains("every node to have a first block within 1m"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn late_nodes_are_not_waited_for_and_join_when_they_are_started() {
    let topology = Topology::with_node_counts(3, 0).with_node("validator-2", NodeOverrides::late);
    let runner = deployed(topology).await.expect("two nodes are a cluster");
    let late = runner.node_clients().by_name("validator-2").expect("it is planned").clone();
    assert!(late.consensus_info().await.is_err(), "it was not started");
    runner.control().start("validator-2").await.expect("it can be started");
    assert!(late.consensus_info().await.expect("it answers").height > 0, "it has caught up");
    runner.teardown().await.expect("the cluster can be torn down");
}
