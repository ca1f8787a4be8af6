//! Metrics in a real Prometheus, which the test starts for itself.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use logos_scenario::{
    Deployer, FailureClass, LocalDeployer, MetricThreshold, RunFailed, Scenario, ScenarioBuilder,
    ScenarioBuilderExt, Topology, telemetry, wait,
};
use serde_json::json;
use tempfile::TempDir;

use super::{WITHIN, devnode};

/// A Prometheus that scrapes what its file of targets names. It ends with this.
struct Prometheus {
    child: Child,
    url: String,
    folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts it on a loopback address that only this process has; `None` where it is not installed.
    async fn start() -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("{}:9090", Ipv4Addr::new(127, 78, high, low.max(2)));
        let targets = folder.path().join("targets.json");
        fs::write(&targets, "[]")?;
        let config = folder.path().join("prometheus.yml");
        let scrapes = json!([{
            "job_name": "nodes",
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "file_sd_configs": [{ "files": [targets], "refresh_interval": "1s" }],
        }]);
        fs::write(&config, json!({ "scrape_configs": scrapes }).to_string())?;
        let log = fs::File::create(folder.path().join("log"))?;
        #[expect(clippy::disallowed_methods, reason = "the test's own Prometheus")]
        let spawned = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let Ok(child) = spawned else { return Ok(None) };
        let prometheus = Self { child, url: format!("http://{address}"), folder };
        let listens = || async { tokio::net::TcpStream::connect(&address).await.map(drop) };
        wait::until("Prometheus to listen", WITHIN, listens).await.with_context(|| prometheus.log())?;
        Ok(Some(prometheus))
    }

    fn scrape(&self, addresses: &[&String]) -> anyhow::Result<()> {
        let targets = json!([{ "targets": addresses }]).to_string();
        // A file that is there is whole.
        fs::write(self.folder.path().join("new"), targets)?;
        Ok(fs::rename(self.folder.path().join("new"), self.folder.path().join("targets.json"))?)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

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
    let scenario = scenario(&prometheus.url, good)?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    let driving = runner.start(&scenario).await?;
    let base_url = driving.context().telemetry().prometheus().map(telemetry::Prometheus::base_url);
    assert_eq!(base_url.map(ToString::to_string), Some(format!("{}/", prometheus.url)));
    let endpoints = driving.context().endpoints().to_vec();
    let addresses: Vec<_> = endpoints.iter().map(|node| &node.addresses["testing_http"]).collect();
    prometheus.scrape(&addresses)?;
    let report = driving.finish().await.with_context(|| prometheus.log())?;
    assert!(report.held.contains(&"MetricThreshold `devnode_height`".to_owned()), "{report}");

    let foreign = format!("http://{}", addresses[0]);
    for (url, expectation, class, texts) in [
        (
            &*prometheus.url,
            MetricThreshold::new("devnode_height").at_least(1e9),
            FailureClass::Product,
            ["`devnode_height` to be at least 1000000000", "2 of 2 series are not", "job=\"nodes\""],
        ),
        (
            &*prometheus.url,
            MetricThreshold::new("no_such_metric").at_most(1.0),
            FailureClass::Test,
            ["it has no series", "what has no value proves nothing", "scrapes the nodes"],
        ),
        (
            &*prometheus.url,
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
    let error = builder.clone().with_expectation(threshold.clone()).build().err().expect("there is none");
    assert!(error.to_string().contains("there is no Prometheus to ask"), "{error}");
    let error = builder.with_expectation(threshold).with_metrics_query_url("localhost:9090").build();
    let error = error.err().expect("it is no URL");
    assert!(error.to_string().contains("scenario.metrics_query_url: `localhost:9090`"), "{error}");
}
