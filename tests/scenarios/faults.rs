//! Faulty nodes fail just the expectation that is for them, with a text that says what happened.

use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;

fn panicking(topology: TopologyBuilder) -> TopologyBuilder {
    topology.with_node("validator-1", |node| node.config("faults.panic_at", 8))
}

#[scenario(
    validators = 3,
    slot = "500ms",
    duration = "30s",
    topology = panicking,
    should_fail = "validator-1 ended by itself with exit code 101"
)]
async fn a_panic_is_told_with_its_log(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(2)).expect_consensus_liveness();
    run.drive().await
}

fn dropping(topology: TopologyBuilder) -> TopologyBuilder {
    topology.with_node("validator-0", |node| node.config("faults.accept_and_drop", true))
}

#[scenario(
    validators = 2,
    slot = "500ms",
    duration = "10s",
    topology = dropping,
    should_fail = "accepted by validator-0"
)]
async fn dropped_transactions_are_told_by_id(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(2)).expect_consensus_liveness();
    run.drive().await
}

fn idle(topology: TopologyBuilder) -> TopologyBuilder {
    ["validator-0", "validator-1"].into_iter().fold(topology, |topology, name| {
        topology.with_node(name, |node| node.config("faults.stop_producing_at", 6))
    })
}

#[scenario(validators = 2, slot = "500ms", duration = "60s", topology = idle, should_fail = "no block for")]
async fn a_chain_that_stands_still_is_told_early(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}
