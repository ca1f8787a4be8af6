//! Metrics in a real Prometheus, which the test starts for itself.

use std::time::Duration;

use anyhow::Context;
use logos_scenario::{
    Deployer, FailureClass, LocalDeployer, MetricThreshold, RunFailed, Scenario, ScenarioBuilder,
    ScenarioBuilderExt, Topology, telemetry,
};
use logos_scenario_tests::prometheus::Prometheus;

use super::devnode;

fn scenario(url: &str, expectations: impl IntoIterator<Item = MetricThreshold>) -> anyhow::Result<Scenario> {
    let builder = ScenarioBuilder::with_topology(Topology::two_validators().slot(Duration::from_millis(300)))
        .with_program(devnode())
        .with_metrics_query_url(url)
        .with_run_duration(Duration::from_secs(8))
        .expect_consensus_liveness();
    Ok(expectations.into_iter().fold(builder, ScenarioBuilder::with_expectation).build()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_are_asked_of_a_real_prometheus() -> anyhow::Result<()> {
    let Some(prometheus) = Prometheus::start().await? else {
        eprintln!("skipped: there is no `prometheus` here; apt-get install prometheus");
        return Ok(());
    };
    let good = [
        MetricThreshold::new("devnode_height").at_least(5.0),
        MetricThreshold::new("sum(devnode_equivocations_total)").at_most(0.0),
        MetricThreshold::new("scalar(count(up))").at_least(2.0).at_most(2.0),
    ];
    let scenario = scenario(prometheus.url(), good)?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let driving = runner.start(&scenario).await?;
    let base_url = driving.context().telemetry().prometheus().map(telemetry::Prometheus::base_url);
    assert_eq!(base_url.map(ToString::to_string), Some(format!("{}/", prometheus.url())));
    let endpoints = driving.context().endpoints().to_vec();
    let addresses: Vec<_> = endpoints.iter().map(|node| &node.addresses["testing_http"]).collect();
    prometheus.scrape(&addresses)?;
    let report = driving.finish().await.with_context(|| prometheus.log())?;
    assert!(report.held.contains(&"MetricThreshold `devnode_height`".to_owned()), "{report}");

    let foreign = format!("http://{}", addresses[0]);
    for (url, expectation, class, texts) in [
        (
            prometheus.url(),
            MetricThreshold::new("devnode_height").at_least(1e9),
            FailureClass::Product,
            ["`devnode_height` to be at least 1000000000", "2 of 2 series are not", "job=\"nodes\""],
        ),
        (
            prometheus.url(),
            MetricThreshold::new("no_such_metric").at_most(1.0),
            FailureClass::Test,
            ["it has no series", "what has no value proves nothing", "scrapes the nodes"],
        ),
        (
            prometheus.url(),
            MetricThreshold::new("sum(").at_most(1.0),
            FailureClass::Test,
            ["capture of MetricThreshold `sum(`", "refuses the query `sum(`", "parse error"],
        ),
        (
            &foreign,
            MetricThreshold::new("up").at_least(1.0),
            FailureClass::Infrastructure,
            ["answers with 404, and not as a Prometheus does", "NOMOS_METRICS_QUERY_URL", "capture of"],
        ),
        (
            "http://127.78.0.1:1",
            MetricThreshold::new("up").at_least(1.0),
            FailureClass::Infrastructure,
            ["http://127.78.0.1:1/api/v1/query does not answer", "onnection refused", "capture of"],
        ),
    ] {
        let failed: RunFailed =
            runner.run(&self::scenario(url, [expectation])?).await.expect_err("the threshold is not met");
        assert_eq!((failed.failures.len(), failed.class()), (1, class), "{failed}");
        for text in texts {
            assert!(failed.to_string().contains(text), "no `{text}` in:\n{failed}");
        }
    }
    runner.teardown().await?;
    Ok(())
}

#[test]
fn a_threshold_without_a_prometheus_is_refused() {
    let builder = ScenarioBuilder::with_topology(Topology::two_validators()).with_program(devnode());
    let threshold = MetricThreshold::new("up").at_least(1.0);
    let error = builder.clone().with_expectation(threshold.clone()).build().expect_err("there is none");
    assert!(error.to_string().contains("there is no Prometheus to ask"), "{error}");
    let error = builder.with_expectation(threshold).with_metrics_query_url("localhost:9090").build();
    let error = error.expect_err("it is no URL");
    assert!(error.to_string().contains("scenario.metrics_query_url: `localhost:9090`"), "{error}");
}
