//! Nodes that are ended and links that are cut: the chain goes on, and who was away catches up.

use std::time::Duration;

use logos_scenario::ChainAgreement;
use logos_scenario::deployer::LogPart;
use logos_scenario::prelude::*;
use logos_scenario::wait;

#[scenario(backend = ["local", "compose", "k8s"], validators = 3, slot = "500ms", duration = "30 blocks", node_control)]
async fn a_killed_validator_comes_back_and_catches_up(run: &mut Run) -> Result {
    run.chaos_with(|chaos| chaos.node("validator-1").at_height(10).kill().restart_after_blocks(3))
        // What only the killed node had is lost with it.
        .transactions_with(|tx| tx.rate(2).min_inclusion(0.95))
        .expect_consensus_liveness();
    run.drive().await
}

#[scenario(backend = ["local", "compose", "k8s"], validators = 5, layout = "full", slot = "500ms", security_param = 60, duration = "45 blocks", faults)]
async fn two_of_five_are_cut_off_and_all_agree_afterwards(run: &mut Run) -> Result {
    let (two, three) = (["validator-3", "validator-4"], ["validator-0", "validator-1", "validator-2"]);
    run.chaos_with(|chaos| chaos.partition(two, three).at_height(5).heal_after_blocks(20))
        // No account's transaction is on every chain before the sides agree, so that each sends one.
        .transactions_with(|tx| tx.rate(2).users(80))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    run.drive().await
}

/// It is told by its silence that it is started otherwise, and by its chain that it has its data.
#[scenario(backend = ["local", "compose", "k8s"], validators = 2, slot = "500ms", duration = "10s", node_control)]
async fn a_validator_goes_on_with_another_configuration(run: &mut Run) -> Result {
    let node = "validator-1";
    let started = run.with_expectation(ChainAgreement::default()).start().await?;
    let (cx, control, client) = (run.context().clone(), run.control()?, run.node(node)?.clone());
    let before = client.consensus_info().await?;
    let refused = control.restart_with(node, |node| node.stake(1)).await.err();
    let refused = refused.map(|error| error.to_string()).unwrap_or_default();
    anyhow::ensure!(refused.contains("validator-1.stake"), "{refused}");
    control.stop(node).await?;
    let said = cx.node_log(node, LogPart::From(0)).await?.len();
    control.start_with(node, |node| node.env("NOMOS_LOG_LEVEL", "off")).await?;
    let goes_on = || async {
        match (client.block(before.tip).await, client.consensus_info().await) {
            (Ok(Some(_)), Ok(info)) if info.height > before.height + 1 => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    };
    wait::until("more blocks on its chain", Duration::from_secs(60), goes_on).await?;
    let more = cx.node_log(node, LogPart::From(said as u64)).await?;
    anyhow::ensure!(more.is_empty(), "it still says {more}");
    started.finish().await?;
    Ok(())
}

/// Every verb is seen to take effect, and to heal; the chain bears them all.
#[scenario(backend = ["local", "compose"], validators = 4, layout = "full", slot = "500ms", security_param = 100, duration = "20s", faults)]
async fn every_network_fault_takes_effect_and_heals(run: &mut Run) -> Result {
    let (one, other) = ("validator-1", "validator-2");
    let started = run.with_expectation(ChainAgreement::default()).start().await?;
    let faults = run.faults()?;
    faults.isolate(one).await?;
    faults.heal().await?;
    faults.partition(["validator-0", one], [other, "validator-3"]).await?;
    faults.heal().await?;
    faults.latency(one, other, Duration::from_millis(300)).await?;
    faults.rate(one, other, 100_000).await?;
    faults.loss(other, one, 30).await?;
    faults.heal().await?;
    started.finish().await?;
    Ok(())
}

#[scenario(validators = 2, slot = "500ms", duration = "10s")]
async fn faults_have_to_be_declared(run: &mut Run) -> Result {
    let error = run.faults().err().map(|error| error.to_string()).unwrap_or_default();
    anyhow::ensure!(error.contains("write `#[scenario(faults)]`"), "{error}");
    run.expect_consensus_liveness();
    run.drive().await
}
