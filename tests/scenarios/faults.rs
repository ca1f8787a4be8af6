//! Faulty nodes fail just the expectation that is for them, with a text that says what happened.

use std::time::Duration;

use anyhow::Context;
use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;
use logos_scenario::{ChainAgreement, ConsensusLiveness, RunFailed};
use serde_json::{Value, json};

/// Gives every one of these nodes a fault.
pub(crate) fn faulty(
    topology: TopologyBuilder,
    nodes: &[&str],
    fault: &str,
    value: &Value,
) -> TopologyBuilder {
    nodes
        .iter()
        .fold(topology, |topology, name| topology.with_node(*name, |node| node.config(fault, value.clone())))
}

/// Says `… alone failed` if a drive failed for this expectation and no other, with all of these texts.
pub(crate) fn alone(drive: Result, expectation: &str, texts: &[&str]) -> Result {
    let error = drive.err().context("the fault was not found")?;
    let failed = error.downcast_ref::<RunFailed>().context("the drive did not begin")?;
    let subjects: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    anyhow::ensure!(subjects == [expectation], "{subjects:?} failed");
    for text in texts {
        anyhow::ensure!(failed.to_string().contains(text), "`{text}` is not told");
    }
    anyhow::bail!("{expectation} alone failed")
}

fn panicking(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["validator-1"], "faults.panic_at", &json!(8))
}

#[scenario(
    backend = ["local", "compose"],
    validators = 3,
    slot = "500ms",
    duration = "30s",
    topology = panicking,
    should_fail = "NoCrash alone failed"
)]
async fn a_panic_is_told_with_its_log(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(2))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    let texts = ["validator-1 ended by itself with exit code 101", "fault panic_at", "validator-1.log"];
    alone(run.drive().await, "NoCrash", &texts)
}

fn leaving(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["validator-1"], "faults.exit_at", &json!({ "height": 8, "code": 0 }))
}

#[scenario(
    backend = ["local", "compose"],
    validators = 3,
    slot = "500ms",
    duration = "30s",
    topology = leaving,
    should_fail = "NoCrash alone failed"
)]
async fn a_node_that_leaves_in_peace_is_missed_all_the_same(run: &mut Run) -> Result {
    run.expect_consensus_liveness().with_expectation(ChainAgreement::default());
    alone(run.drive().await, "NoCrash", &["validator-1 ended by itself with exit code 0"])
}

fn dropping(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["validator-0"], "faults.accept_and_drop", &json!(true))
}

#[scenario(
    backend = ["local", "compose"],
    validators = 2,
    slot = "500ms",
    duration = "10s",
    topology = dropping,
    should_fail = "TransactionInclusion alone failed"
)]
async fn dropped_transactions_are_told_by_id(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(2))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    let texts = ["lost: ", "accepted by validator-0 in slot", "never in a block"];
    alone(run.drive().await, "TransactionInclusion", &texts)
}

fn idle(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["validator-0", "validator-1"], "faults.stop_producing_at", &json!(6))
}

#[scenario(
    backend = ["local", "compose"],
    validators = 2,
    slot = "500ms",
    duration = "60s",
    topology = idle,
    should_fail = "ConsensusLiveness alone failed"
)]
async fn a_chain_that_stands_still_is_told_early(run: &mut Run) -> Result {
    run.expect_consensus_liveness().with_expectation(ChainAgreement::default());
    let began = std::time::Instant::now();
    let drive = run.drive().await;
    anyhow::ensure!(began.elapsed() < Duration::from_secs(50), "it was told when the window ended");
    alone(drive, "ConsensusLiveness", &["no block for"])
}

fn lazy(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["validator-0"], "faults.half_rate", &json!(true))
}

#[scenario(
    backend = ["local", "compose"],
    slot = "300ms",
    duration = "45s",
    topology = lazy,
    should_fail = "ConsensusLiveness alone failed"
)]
async fn a_chain_at_half_rate_is_too_slow(run: &mut Run) -> Result {
    run.expect_consensus_liveness().with_expectation(ChainAgreement::default());
    alone(run.drive().await, "ConsensusLiveness", &["validator-0 grew by", "too few"])
}

fn parting(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["validator-0", "validator-1"], "faults.fork_away_at", &json!(6))
}

/// Both chains grow alike and fast enough for a short window: only their ancestry differs.
#[scenario(
    backend = ["local", "compose"],
    validators = 2,
    slot = "500ms",
    security_param = 5,
    duration = "15s",
    topology = parting,
    should_fail = "ChainAgreement alone failed"
)]
async fn a_split_is_told_though_both_chains_grow(run: &mut Run) -> Result {
    run.with_expectation(ConsensusLiveness::default().lag_allowance(30))
        .with_expectation(ChainAgreement::default());
    let texts = ["hold different blocks irreversible", "forked after height"];
    alone(run.drive().await, "ChainAgreement", &texts)
}

fn delayed(topology: TopologyBuilder) -> TopologyBuilder {
    let delay = json!({ "min": "50ms", "max": "600ms" });
    faulty(topology, &["validator-0", "validator-1", "validator-2"], "network.delay", &delay)
}

#[scenario(
    backend = ["local", "compose"],
    validators = 3,
    slot = "500ms",
    duration = "30s",
    topology = delayed
)]
async fn forks_of_a_slow_network_are_no_failure(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(2))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    run.drive().await
}
