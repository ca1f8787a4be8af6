//! What telemetry costs: a local run of 20 nodes without and with it, each node sending spans and metrics to a collector in
//! this process.
//!
//!     cargo bench --profile dev --workspace --bench telemetry

use std::time::Duration;

use logos_scenario::{
    Deployer, LocalDeployer, ResourceUse, Scenario, ScenarioBuilder, ScenarioBuilderExt, Topology,
};
use logos_scenario_devnode::Devnode;
use logos_scenario_tests::collector::Collector;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let collector = Collector::start("127.0.0.1:0").await?;
    for (how, url) in [("without", None), ("with", Some(collector.url()))] {
        let scenario = scenario(url)?;
        let runner = LocalDeployer::default().deploy(&scenario).await?;
        let outcome = runner.run(&scenario).await;
        runner.teardown().await?;
        let report = outcome?;
        let used = report.sections["resource_use"].as_object().into_iter().flatten();
        let used: Vec<_> =
            used.map(|(_, node)| [&node["cores"]["p50"], &node["memory_mib"]["p50"]]).collect();
        let sum = |what: usize| used.iter().filter_map(|node| node[what].as_f64()).sum::<f64>();
        println!(
            "{how}: {} blocks; all nodes keep {:.3} cores busy and hold {:.0} MiB, by the median of each",
            report.chain.blocks,
            sum(0),
            sum(1),
        );
    }
    let received = collector.received();
    println!(
        "{} spans, {} metrics of {} nodes",
        received.spans.len(),
        received.metrics.len(),
        received.resources.len()
    );
    Ok(())
}

/// 16 validators and 4 executors, transactions, and the telemetry of every node where there is a collector.
fn scenario(url: Option<String>) -> anyhow::Result<Scenario> {
    let topology = Topology::with_node_counts(16, 4).slot(Duration::from_secs(1));
    let names = (0..16)
        .map(|index| format!("validator-{index}"))
        .chain((0..4).map(|index| format!("executor-{index}")));
    let topology = url.iter().flat_map(|url| names.clone().map(move |name| (name, url))).fold(
        topology,
        |topology, (name, url)| {
            topology.with_node(name, |node| {
                node.env("NOMOS_OTLP_ENDPOINT", url).env("NOMOS_OTLP_METRICS_ENDPOINT", url)
            })
        },
    );
    Ok(ScenarioBuilder::with_topology(topology)
        .with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")))
        .with_seed(1)
        .transactions_with(|txs| txs.rate(5).users(20))
        .with_expectation(ResourceUse::default().cores_at_most(2.0))
        .with_run_duration(Duration::from_secs(40))
        .build()?)
}
