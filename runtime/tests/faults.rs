//! Network faults on a fake cluster: they are declared, seen to take effect, and counted by who judges.

use std::time::Duration;

use logos_scenario_runtime::fake::{FakeDeployer, FakeProgram};
use logos_scenario_runtime::faults::NetworkFault;
use logos_scenario_runtime::feed::NodeView;
use logos_scenario_runtime::{
    ChainAgreement, Deployer, FailureClass, ScenarioBuilder, ScenarioBuilderExt, Topology,
};

fn builder() -> ScenarioBuilder {
    let topology = Topology::with_node_counts(5, 0).network_full().security_param(60);
    ScenarioBuilder::with_topology(topology)
        .with_program(FakeProgram)
        .with_seed(1)
        .with_run_duration(Duration::from_secs(240))
        .expect_consensus_liveness()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_declare_faults_has_none() {
    let scenario = builder().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let failure = driving.context().faults().expect_err("they are not declared");
    assert_eq!(failure.class, FailureClass::Test);
    assert!(
        failure.to_string().contains("`#[scenario(faults)]`, or `.enable_faults()` by hand"),
        "{failure}"
    );
    driving.finish().await.unwrap();
    runner.teardown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_majority_goes_on_and_all_agree_afterwards() {
    let scenario = builder()
        .enable_faults()
        .transactions_with(|tx| tx.rate(2))
        .with_expectation(ChainAgreement::default())
        .build()
        .unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let (faults, feed) = (driving.context().faults().unwrap(), driving.context().feed().clone());
    let two = ["validator-3", "validator-4"];
    faults.partition(two, two).await.expect_err("a node can be on one side only");
    let others = ["validator-0", "validator-1", "validator-2"];
    faults.partition(two, others).await.unwrap();
    let heights = || feed.nodes().iter().map(NodeView::height).collect::<Vec<_>>();
    let before = heights();
    let mut changes = feed.changes();
    while heights()[0] < before[0] + 20 {
        changes.changed().await.unwrap();
    }
    assert_ne!(heights()[0], heights()[4], "both sides make their own blocks");
    faults.undo(&NetworkFault::Isolate("validator-0".into())).await.expect_err("it is not in force");
    faults.undo(&NetworkFault::partition(two, others)).await.unwrap();
    let report = driving.finish().await.unwrap();
    assert!(report.held.contains(&"ConsensusLiveness".to_owned()));
    runner.teardown().await.unwrap();
}

/// Whatever else the nodes do then is no doing of theirs.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_relay_fails_as_infrastructure() {
    let scenario = builder().enable_faults().build().unwrap();
    for (height, subject) in [(0, "ready"), (30, "NoCrash")] {
        let deployer = FakeDeployer::default().losing_its_relay_at(height);
        let failed = match deployer.deploy(&scenario).await {
            Ok(runner) => runner.run(&scenario).await.expect_err("the relay's end is found"),
            Err(failed) => failed,
        };
        let found: Vec<_> = failed.failures.iter().map(|failure| failure.subject.as_str()).collect();
        assert_eq!((failed.class(), found), (FailureClass::Infrastructure, vec![subject]), "{failed}");
        assert!(failed.to_string().contains("the fake relay has ended"), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_cannot_do_fails_as_infrastructure() {
    let scenario = builder().enable_faults().build().unwrap();
    let runner = FakeDeployer::default().deploy(&scenario).await.unwrap();
    let driving = runner.start(&scenario).await.unwrap();
    let faults = driving.context().faults().unwrap();
    let failed = faults.latency("validator-0", "validator-1", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(failed.class(), FailureClass::Infrastructure);
    assert!(failed.to_string().contains("fake nodes hear each other at once"), "{failed}");
    drop(driving);
    runner.teardown().await.unwrap();
}
