//! Blobs are published and read back; each fault that keeps one from it fails just `BlobAvailability`.

use std::time::Duration;

use logos_scenario::ChainAgreement;
use logos_scenario::prelude::*;
use logos_scenario::topology::TopologyBuilder;
use serde_json::json;

use crate::faults::{alone, faulty};

/// All but one: of five members' shares two restore a blob.
const MOST: [&str; 4] = ["validator-1", "validator-2", "executor-0", "executor-1"];
const ALL: [&str; 5] = ["validator-0", "validator-1", "validator-2", "executor-0", "executor-1"];

#[scenario(validators = 3, executors = 2, slot = "500ms", duration = "30s")]
async fn is_available_beside_transactions(run: &mut Run) -> Result {
    run.transactions_with(|txs| txs.rate(5).users(20))
        .da_with(|da| da.channel_rate(1).blob_rate(2))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
    run.drive().await
}

#[scenario(validators = 1, executors = 1, slot = "500ms", duration = "15s")]
async fn is_available_from_two_nodes(run: &mut Run) -> Result {
    run.da_with(|da| da.channel_rate(2).blob_rate(1)).expect_consensus_liveness();
    run.drive().await
}

#[scenario(validators = 3, executors = 2, slot = "1s", duration = "30s")]
async fn is_available_in_large_blobs(run: &mut Run) -> Result {
    run.da_with(|da| da.channel_rate(1).blob_rate(1).blob_size(100_000)).expect_consensus_liveness();
    run.drive().await
}

/// What an executor disperses is late with some of those who sample it, and so is what they tell of it.
#[scenario(validators = 3, executors = 2, layout = "full", slot = "500ms", duration = "20s", faults)]
async fn is_available_over_slow_links(run: &mut Run) -> Result {
    run.da_with(|da| da.channel_rate(2).blob_rate(1)).with_expectation(ChainAgreement::default());
    let faults = run.faults()?;
    for slow in ["validator-0", "validator-1"] {
        faults.latency("executor-0", slow, Duration::from_millis(400)).await?;
        faults.latency(slow, "executor-0", Duration::from_millis(400)).await?;
    }
    run.drive().await
}

/// What it dispersed before is read back at the end, too, while either executor is stopped.
#[scenario(
    backend = ["local", "k8s"],
    validators = 3,
    executors = 2,
    slot = "500ms",
    duration = "30s",
    node_control
)]
async fn outlives_an_executor(run: &mut Run) -> Result {
    run.da_with(|da| da.channel_rate(3).blob_rate(1)).with_expectation(ChainAgreement::default());
    let (control, feed) = (run.control()?, run.feed().clone());
    let driving = run.start().await?;
    let reaches = async |height: u64| {
        let mut events = feed.subscribe();
        while !matches!(events.next().await, logos_scenario::Event::Block(block) if block.height >= height) {}
    };
    reaches(12).await;
    control.kill("executor-0").await?;
    reaches(24).await;
    control.start("executor-0").await?;
    driving.finish().await?;
    Ok(())
}

fn withholding(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &MOST, "faults.withhold_shares", &json!(true))
}

#[scenario(
    validators = 3,
    executors = 2,
    slot = "500ms",
    duration = "15s",
    topology = withholding,
    should_fail = "BlobAvailability alone failed"
)]
async fn that_nodes_withhold_cannot_be_restored(run: &mut Run) -> Result {
    published(run);
    let texts = [
        "lost: blob ",
        "dispersed by executor-",
        "cannot be restored",
        "1 good shares and 0 bad ones, it takes 2",
    ];
    alone(run.drive().await, "BlobAvailability", &texts)
}

fn corrupting(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &MOST, "faults.corrupt_shares", &json!(true))
}

#[scenario(
    validators = 3,
    executors = 2,
    slot = "500ms",
    duration = "15s",
    topology = corrupting,
    should_fail = "BlobAvailability alone failed"
)]
async fn that_nodes_corrupt_is_told_from_good_shares(run: &mut Run) -> Result {
    published(run);
    let texts = ["cannot be restored", "1 good shares and", "bad ones, it takes 2"];
    alone(run.drive().await, "BlobAvailability", &texts)
}

fn losing(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &ALL, "faults.lose_blobs", &json!(true))
}

#[scenario(
    validators = 3,
    executors = 2,
    slot = "500ms",
    duration = "15s",
    topology = losing,
    should_fail = "BlobAvailability alone failed"
)]
async fn that_nodes_forget_is_lost_after_inclusion(run: &mut Run) -> Result {
    published(run);
    let texts = ["blocks tell of data that nodes do not have", "Blob index not found"];
    alone(run.drive().await, "BlobAvailability", &texts)
}

fn refusing(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &ALL, "faults.refuse_sampling", &json!(true))
}

#[scenario(
    validators = 3,
    executors = 2,
    slot = "500ms",
    duration = "15s",
    topology = refusing,
    should_fail = "BlobAvailability alone failed"
)]
async fn that_nobody_samples_is_never_in_a_block(run: &mut Run) -> Result {
    published(run);
    alone(run.drive().await, "BlobAvailability", &["dispersed by executor-", "never in a block"])
}

fn dropping(topology: TopologyBuilder) -> TopologyBuilder {
    faulty(topology, &["executor-0"], "faults.drop_dispersals", &json!(true))
}

#[scenario(
    validators = 3,
    executors = 2,
    slot = "500ms",
    duration = "15s",
    topology = dropping,
    should_fail = "BlobAvailability alone failed"
)]
async fn that_an_executor_drops_is_never_in_a_block(run: &mut Run) -> Result {
    published(run);
    alone(run.drive().await, "BlobAvailability", &["dispersed by executor-0", "never in a block"])
}

fn published(run: &mut Run) {
    run.da_with(|da| da.channel_rate(2).blob_rate(1))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default());
}
