//! Scenarios built and run by hand, without the harness.

use std::time::Duration;

use logos_scenario::{
    Deployer, FailureClass, LocalDeployer, Report, RunFailed, ScenarioBuilder, ScenarioBuilderExt, Topology,
    wait,
};
use logos_scenario_devnode::Devnode;

fn devnode() -> Devnode {
    Devnode::at(env!("CARGO_BIN_EXE_devnode"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_of_builder_calls_runs() -> anyhow::Result<()> {
    let scenario = ScenarioBuilder::topology_with(|t| {
        t.network_star().validators(3).executors(2).slot(Duration::from_millis(500))
    })
    .with_program(devnode())
    .wallets(50)
    .transactions_with(|txs| txs.rate(5).users(20))
    .expect_consensus_liveness()
    .with_run_duration(Duration::from_secs(10))
    .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let report = runner.run(&scenario).await?;
    assert_eq!(report.workloads["transactions"].0["submitted"], 90);
    assert_eq!(report.held, ["NoCrash", "ConsensusLiveness", "TransactionInclusion"]);
    let again: Report = runner.run(&scenario).await?;
    assert_eq!(
        again.workloads["transactions"].0["submitted"], 90,
        "a scenario can be run again on its cluster"
    );
    runner.teardown().await?;
    Ok(())
}

#[tokio::test]
async fn a_scenario_for_another_cluster_is_refused() -> anyhow::Result<()> {
    let scenario = |nodes: usize| {
        ScenarioBuilder::with_topology(Topology::with_node_counts(nodes, 0).slot(Duration::from_millis(500)))
            .with_program(devnode())
            .expect_consensus_liveness()
            .with_run_duration(Duration::from_secs(8))
            .build()
    };
    let runner = LocalDeployer::default().deploy(&scenario(1)?).await?;
    let refused: RunFailed = runner.run(&scenario(2)?).await.expect_err("the cluster has one node");
    assert_eq!(refused.class(), FailureClass::Test);
    assert!(refused.to_string().contains("a scenario for this cluster"), "{refused}");
    runner.teardown().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_cannot_start_is_told_with_its_last_lines() -> anyhow::Result<()> {
    let topology = Topology::two_validators()
        .with_node("validator-1", |node| node.config("http", "${host:validator-0}:${port:validator-0/http}"));
    let scenario = ScenarioBuilder::with_topology(topology)
        .with_program(devnode())
        .expect_consensus_liveness()
        .with_run_duration(Duration::from_secs(60))
        .build()?;
    let began = std::time::Instant::now();
    let failed = LocalDeployer::default().deploy(&scenario).await.err().expect("two nodes want one port");
    let text = failed.to_string();
    assert_eq!(failed.class(), FailureClass::Infrastructure);
    for part in
        ["ended by itself with exit code 1", "last lines of validator-", "in use", "look at: ", ".log"]
    {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "an exit is not a timeout");
    Ok(())
}

#[tokio::test]
async fn nodes_can_be_killed_and_started_and_catch_up() -> anyhow::Result<()> {
    let scenario =
        ScenarioBuilder::with_topology(Topology::with_node_counts(3, 0).slot(Duration::from_millis(300)))
            .with_program(devnode())
            .expect_consensus_liveness()
            .with_run_duration(Duration::from_secs(8))
            .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let control = runner.control();
    control.kill("validator-1").await?;
    let height = |name: &'static str| {
        let client = runner.node_clients().by_name(name).expect("there are three validators").clone();
        async move { client.consensus_info().await.map(|info| info.height) }
    };
    let before = height("validator-0").await?;
    wait::until("three more blocks", Duration::from_secs(30), || async {
        match height("validator-0").await {
            Ok(now) if now >= before + 3 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    control.start("validator-1").await?;
    wait::until("validator-1 to catch up", Duration::from_secs(30), || async {
        match height("validator-1").await {
            Ok(now) if now >= before + 3 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    runner.teardown().await?;
    Ok(())
}
