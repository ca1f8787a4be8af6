//! Signed transfers are in a block of every node's chain.

use logos_scenario::ChainAgreement;
use logos_scenario::prelude::*;

#[scenario(
    backend = ["local", "compose", "k8s"],
    validators = 3,
    executors = 2,
    slot = "1s",
    duration = "25s"
)]
async fn are_included(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(2).users(20)).expect_consensus_liveness();
    run.drive().await
}

#[scenario(backend = ["local", "compose"], validators = 1, slot = "500ms", duration = "12s")]
async fn are_included_by_a_single_node(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(5).users(20));
    run.drive().await
}

#[scenario(
    backend = ["local", "compose"],
    validators = 4,
    layout = "chain",
    slot = "500ms",
    duration = "30 blocks"
)]
async fn travel_along_a_chain_of_nodes(run: &mut Run) -> Result {
    run.transactions_with(|tx| tx.rate(3)).with_expectation(ChainAgreement::default());
    run.drive().await
}
