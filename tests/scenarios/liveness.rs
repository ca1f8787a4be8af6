//! Chains of healthy nodes grow and agree.

use anyhow::ensure;
use logos_scenario::ChainAgreement;
use logos_scenario::prelude::*;

#[scenario(backend = ["local", "compose", "k8s"], validators = [1, 3], slot = "500ms", duration = "10s")]
async fn a_chain_grows(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

#[scenario(
    backend = ["local", "compose"],
    validators = 3,
    executors = 1,
    layout = "full",
    slot = "300ms",
    security_param = 5,
    duration = "10s"
)]
async fn all_nodes_follow_one_chain(run: &mut Run) -> Result {
    run.expect_consensus_liveness().with_expectation(ChainAgreement::default());
    run.drive().await
}

#[scenario(
    backend = ["local", "compose"],
    validators = 2,
    slot = "500ms",
    active_slot_coeff = 0.5,
    duration = "20s",
    seed = 7
)]
async fn half_of_the_slots_suffice(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

#[scenario(backend = ["local", "compose"], validators = 2, slot = "500ms", duration = "8s")]
#[ignore = "shows how an ignored scenario is listed"]
async fn ignored(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    run.drive().await
}

#[scenario(validators = 2, slot = "500ms", duration = "40s", until = "satisfied")]
async fn is_satisfied_before_the_window_ends(run: &mut Run) -> Result {
    run.expect_consensus_liveness();
    let report = run.start().await?.finish().await?;
    ensure!(report.saved.is_some(), "{report}");
    Ok(())
}
