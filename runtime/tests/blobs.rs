//! Blobs on a fake cluster: published, included and read back; and each fault that keeps one from it.

use std::time::Duration;

use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram, Fault};
use logos_scenario_runtime::workload::BlobSummary;
use logos_scenario_runtime::{
    Deployer, Event, Report, RunFailed, ScenarioBuilder, ScenarioBuilderExt, Topology,
};

fn builder() -> ScenarioBuilder {
    ScenarioBuilder::with_topology(Topology::with_node_counts(3, 2))
        .with_program(FakeProgram)
        .with_seed(1)
        .with_run_duration(Duration::from_secs(120))
        .da_with(|da| da.channel_rate(4).blob_rate(1).blob_size(1023))
        .expect_consensus_liveness()
}

async fn run(deployer: FakeDeployer, builder: ScenarioBuilder) -> Result<Report, RunFailed> {
    let scenario = builder.build().expect("the scenario is valid");
    let runner = deployer.deploy(&scenario).await?;
    let outcome = runner.run(&scenario).await;
    runner.teardown().await?;
    outcome
}

fn faulty(nodes: &[&str], fault: Fault) -> FakeDeployer {
    let deployer = FakeDeployer::default();
    nodes.iter().fold(deployer, |deployer, node| deployer.with_fault(node, 0, fault))
}

/// Just `BlobAvailability` fails, with these texts.
async fn check_fault(nodes: &[&str], fault: Fault, texts: &[&str]) {
    let failed = run(faulty(nodes, fault), builder()).await.expect_err("the fault is found");
    let found: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    assert_eq!(found, ["BlobAvailability"], "{failed}");
    for text in texts {
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
}

fn summary(report: &Report) -> BlobSummary {
    serde_json::from_value(report.sections["blobs"].clone()).expect("the summary is in the report")
}

#[tokio::test(start_paused = true)]
async fn blobs_are_included_and_read_back() {
    let report = run(FakeDeployer::default(), builder()).await.unwrap();
    let summary = summary(&report);
    assert_eq!((summary.channels, summary.size_asked, summary.size), (5, 1023, 1024));
    assert_eq!(
        (summary.planned, summary.published, summary.unpublished),
        (54, 54, 0),
        "{}",
        summary.counts()
    );
    assert_eq!((summary.included, summary.retrieved, summary.refused), (54, 54, 0), "{}", summary.counts());
    assert!(summary.finalized > 30 && summary.inclusion_slots.is_some_and(|slots| slots.p50 < 5.0));
    assert_eq!(report.workloads["blobs"].0["channels"], 5);
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_what_is_published() {
    let listed = async || {
        let scenario = builder().build().unwrap();
        let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
        let driving = runner.start(&scenario).await.unwrap();
        let directory = driving.context().directory().to_owned();
        driving.finish().await.unwrap();
        runner.teardown().await.unwrap();
        let lines = std::fs::read_to_string(directory.join("blobs.jsonl")).unwrap();
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone();
        lines.lines().map(id).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, listed().await);
}

#[tokio::test(start_paused = true)]
async fn two_runs_on_a_cluster_have_channels_of_their_own() {
    let scenario = builder().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    for _ in 0..2 {
        let report = runner.run(&scenario).await.unwrap();
        assert_eq!(summary(&report).published, 54);
    }
    runner.teardown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn as_many_shares_may_be_missing_as_the_code_makes_up_for() {
    for fault in [Fault::WithholdShares, Fault::CorruptShares, Fault::LoseBlobs] {
        run(faulty(&["validator-1", "executor-1"], fault), builder()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn withheld_shares_are_told_with_the_blob_and_the_nodes() {
    let nodes = ["validator-1", "validator-2", "executor-1"];
    check_fault(
        &nodes,
        Fault::WithholdShares,
        &[
            "lost: blob ",
            " on channel ",
            "dispersed by executor-",
            "cannot be restored",
            "1 good shares and 0 bad ones",
            "blobs.jsonl",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn corrupt_shares_are_told_from_good_ones() {
    let nodes = ["validator-1", "validator-2", "executor-1"];
    check_fault(&nodes, Fault::CorruptShares, &["cannot be restored", "1 good shares and 3 bad ones"]).await;
}

#[tokio::test(start_paused = true)]
async fn blobs_that_nodes_forget_are_lost_after_inclusion() {
    let all = ["validator-0", "validator-1", "validator-2", "executor-0", "executor-1"];
    check_fault(
        &all,
        Fault::LoseBlobs,
        &["blocks tell of data that nodes do not have", "Blob index not found"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn blobs_that_nobody_samples_never_get_into_a_block() {
    let all = ["validator-0", "validator-1", "validator-2", "executor-0", "executor-1"];
    check_fault(&all, Fault::RefuseSampling, &["never in a block", "5 published"]).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledged_blobs_that_were_never_dispersed_are_lost() {
    check_fault(&["executor-0"], Fault::DropDispersals, &["dispersed by executor-0", "never in a block"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_is_down_is_passed_over() {
    let scenario = builder().enable_node_control().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    runner.control().kill("executor-0").await.unwrap();
    let report = driving.finish().await.unwrap();
    runner.teardown().await.unwrap();
    let summary = summary(&report);
    assert!(summary.retries > 0 && summary.retrieved == summary.published, "{}", summary.counts());
}

#[tokio::test(start_paused = true)]
async fn what_an_executor_takes_with_it_is_dispersed_by_another() {
    // What it acknowledged and nobody else heard of is lost when it is killed.
    let deployer = faulty(&["executor-0"], Fault::DropDispersals);
    let scenario = builder().enable_node_control().build().unwrap();
    let runner = deployer.deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let mut events = driving.context().feed().subscribe();
    while !matches!(events.next().await, Event::Block(block) if block.height >= 10) {}
    runner.control().kill("executor-0").await.unwrap();
    let report = driving.finish().await.unwrap();
    runner.teardown().await.unwrap();
    let summary = summary(&report);
    assert!(summary.published > 20 && summary.retrieved == summary.published, "{}", summary.counts());
    assert!(summary.retries > 1, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn blobs_are_read_back_while_their_executor_is_stopped_where_nodes_are_controlled() {
    // With the second executor there are two shares, and it takes two.
    let deployer = || faulty(&["validator-1", "validator-2"], Fault::WithholdShares);
    run(deployer(), builder()).await.unwrap();
    let failed = run(deployer(), builder().enable_node_control()).await.unwrap_err();
    let text = failed.to_string();
    assert!(text.contains("dispersed by executor-1"), "{text}");
    assert!(text.contains("while its executor was stopped, it cannot be restored"), "{text}");
    assert!(!text.contains("dispersed by executor-0"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_does_not_come_back_is_told_with_its_process_and_its_log() {
    let deployer = FakeDeployer::default().with_fault("executor-0", 50, Fault::Closed);
    let failed = run(deployer, builder().enable_node_control()).await.unwrap_err();
    let failure = failed.failures.iter().find(|failure| failure.subject == "BlobAvailability").unwrap();
    let text = failure.to_string();
    for expected in
        ["executor-0 to come back", "within 1m", "its process: running", "last lines of its log", "try: "]
    {
        assert!(text.contains(expected), "no `{expected}` in:\n{text}");
    }
}

#[test]
fn what_cannot_be_published_is_told_before_anything_runs() {
    let builder = ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0))
        .with_program(FakeProgram)
        .da_with(|da| da.channel_rate(0).blob_rate(0).blob_size(0));
    let problems: Vec<_> = builder.build().err().unwrap().problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "blobs.channel_rate: 0, expected at least 1; try `.channel_rate(1)`",
            "blobs.blob_rate: 0, expected at least 1; try `.blob_rate(1)` per block",
            "blobs.blob_size: 0, expected at least 1; try `.blob_size(1024)` bytes",
            "blobs: the topology has no executor, and only executors disperse blobs; give it `executors(1)` or more",
        ]
    );
}
