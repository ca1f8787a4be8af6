//! Each expectation holds on a healthy fake cluster and fails on one with the fault it is for.

use std::time::Duration;

use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram, Fault};
use logos_scenario_runtime::{
    ChainAgreement, Deployer, Report, RunFailed, ScenarioBuilder, ScenarioBuilderExt, Topology,
};

fn builder() -> ScenarioBuilder {
    ScenarioBuilder::with_topology(Topology::with_node_counts(3, 1))
        .with_program(FakeProgram)
        .with_seed(1)
        .with_run_duration(Duration::from_secs(120))
}

/// Everything the framework judges by default and on request.
fn full() -> ScenarioBuilder {
    builder()
        .transactions_with(|tx| tx.rate(5).users(20))
        .expect_consensus_liveness()
        .with_expectation(ChainAgreement::default())
}

async fn run(deployer: FakeDeployer, builder: ScenarioBuilder) -> Result<Report, RunFailed> {
    let scenario = builder.build().expect("the scenario is valid");
    let runner = deployer.deploy(&scenario).await?;
    let outcome = runner.run(&scenario).await;
    runner.teardown().await?;
    outcome
}

/// Runs everything on a faulty cluster: just the named expectations fail, with these texts.
async fn check_fault(node: &str, fault: Fault, subjects: &[&str], texts: &[&str]) {
    let failed = run(FakeDeployer::default().with_fault(node, 5, fault), full())
        .await
        .expect_err("the fault is found");
    let found: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
    assert_eq!(found, subjects, "{failed}");
    for text in texts {
        assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_chain_passes() {
    let report = run(FakeDeployer::default(), full()).await.unwrap();
    let mut held = report.held.clone();
    held.sort();
    assert_eq!(held, ["ChainAgreement", "ConsensusLiveness", "NoCrash", "TransactionInclusion"]);
    assert_eq!(report.workloads["transactions"].0["submitted"], 270);
    assert_eq!(report.workloads["transactions"].0["rejected"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_run_at_once() {
    let began = tokio::time::Instant::now();
    check_fault(
        "validator-1",
        Fault::Panic,
        &["NoCrash"],
        &["validator-1 ended by itself with exit code 101", "panicked at fake.rs:1:1", "the fault fired"],
    )
    .await;
    assert!(began.elapsed() < Duration::from_secs(60), "the window is 120 s, the panic came after 5 blocks");
}

#[tokio::test(start_paused = true)]
async fn dropped_transactions_are_named() {
    check_fault(
        "validator-0",
        Fault::DropTransactions,
        &["TransactionInclusion"],
        &["lost: ", "accepted by validator-0 in slot ", "never in a block"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_split_chain_is_seen_by_ancestry() {
    check_fault(
        "validator-2",
        Fault::Fork,
        &["ConsensusLiveness", "ChainAgreement", "TransactionInclusion"],
        &["hold different blocks irreversible", "forked after height"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_stands_still_fails_before_the_window_ends() {
    let deployer = ["validator-0", "validator-1", "validator-2", "executor-0"]
        .into_iter()
        .fold(FakeDeployer::default(), |deployer, node| deployer.with_fault(node, 5, Fault::Idle));
    let began = tokio::time::Instant::now();
    let failed = run(deployer, builder().expect_consensus_liveness()).await.unwrap_err();
    assert_eq!(failed.failures.len(), 1, "{failed}");
    assert!(failed.to_string().contains("no block for "), "{failed}");
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_window_in_blocks_ends_with_them() {
    let builder =
        builder().with_run_blocks(30).transactions_with(|tx| tx.rate(2)).expect_consensus_liveness();
    let report = run(FakeDeployer::default(), builder).await.unwrap();
    assert!(report.workloads["transactions"].0["submitted"] >= 58, "{report}");
    let drive = report.phases.iter().find(|(phase, _)| phase.to_string() == "drive").unwrap().1;
    assert!(drive > Duration::from_secs(50) && drive < Duration::from_secs(120), "{drive:?}");
}
