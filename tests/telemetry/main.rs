//! What runs tell collectors: the nodes' spans and metrics, the framework's own, and that they belong together.
//!
//! Where a backend is not there its tests are ignored with the reason, unless `SCENARIO_REQUIRE` names it.

mod dashboards;
mod inner;
mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::BoxFuture;
use libtest_mimic::Arguments;
use logos_scenario::{
    ComposeDeployer, Deployer, K8sDeployer, LocalDeployer, ScenarioBuilder, ScenarioBuilderExt, Topology,
    wait,
};
use logos_scenario_devnode::Devnode;
use logos_scenario_tests::collector::Collector;
use logos_scenario_tests::trials::{Needed, block_on};
use spans::Traces;

/// What a test says.
type Outcome = anyhow::Result<()>;
type Test = fn(&'static str) -> BoxFuture<'static, Outcome>;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let first = std::env::args().nth(1).unwrap_or_default();
    if first == inner::INNER || first.starts_with(inner::KEEPER) {
        return inner::main(std::env::args().filter(|argument| argument != inner::INNER));
    }
    let everywhere: [(&str, Test); 2] = [
        ("traces_and_metrics_arrive", |backend| Box::pin(traces_and_metrics_arrive(backend))),
        ("faults_keep_no_node_from_its_collector", |backend| {
            Box::pin(faults_keep_no_node_from_its_collector(backend))
        }),
    ];
    let here: [(&str, Test); 5] = [
        ("clusters_that_many_use_are_in_no_case_s_trace", |_| Box::pin(shared())),
        ("unset_nobody_is_connected_to", |_| Box::pin(unset())),
        ("a_collector_that_is_not_there_costs_a_warning", |_| Box::pin(nobody_listens())),
        ("metrics_go_where_the_scenario_says", |_| Box::pin(metrics_go_where_the_scenario_says())),
        ("every_query_of_the_dashboards_has_data", |_| Box::pin(dashboards::every_query_has_data())),
    ];
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(4);
    let missing = |available: Result<(), logos_scenario::deployer::Unavailable>| {
        available.err().map(|error| error.to_string())
    };
    let backends = [
        ("local", missing(block_on(LocalDeployer::default().available()))),
        ("compose", missing(block_on(ComposeDeployer::default().available()))),
        ("k8s", missing(block_on(K8sDeployer::default().available()))),
    ];
    let mut trials = Vec::new();
    for (backend, missing) in backends {
        let needed = Needed::new(backend, missing, &arguments);
        let own = if backend == "local" { &here[..] } else { &[] };
        for (name, test) in everywhere.iter().chain(own).copied() {
            trials.push(needed.trial(format!("{backend}::{name}"), move || test(backend)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A collector on the loopback address, and the settings that lead to it.
async fn collector() -> anyhow::Result<(Collector, [(&'static str, String); 3])> {
    let collector = Collector::start("127.0.0.1:0").await?;
    let names = ["NOMOS_OTLP_ENDPOINT", "NOMOS_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let url = collector.url();
    Ok((collector, names.map(|name| (name, url.clone()))))
}

fn pairs<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn traces_and_metrics_arrive(backend: &str) -> Outcome {
    let (collector, settings) = collector().await?;
    let case = format!("{backend}::sends");
    let told = inner::passes(&[&case], &pairs(&settings)).await?;
    let received = collector.received();
    ensure!(received.refused.is_empty(), "{:?}", received.refused);

    let traces = Traces(&received);
    let run = traces.run(&case)?;
    let phases = ["queue", "deploy", "ready", "capture", "drive", "settle", "judge", "release"];
    for part in phases.into_iter().chain(["workload transactions", "workload blobs"]) {
        ensure!(traces.part(run, part).is_some(), "no `{part}` in {:?}", traces.names(run));
    }
    let drive = traces.part(run, "drive").context("it was looked for")?;
    let transactions = traces.part(run, "workload transactions").context("it was looked for")?;
    ensure!(transactions.parent_span_id == drive.span_id, "workloads are parts of the drive");

    let nodes = ["executor-0", "validator-0", "validator-1"];
    for (span, of) in [
        ("block proposed", &nodes[..]),
        ("block applied", &nodes),
        ("transaction pooled", &nodes),
        ("blob dispersed", &nodes[..1]),
    ] {
        let seen = traces.nodes_with(run, span);
        let all = of.iter().all(|node| seen.contains(*node));
        ensure!(all, "`{span}` of {seen:?} in the case's trace, and none of others of {of:?}");
    }

    let heights = received.metrics.get("devnode_height").context("no heights")?;
    let series: BTreeSet<_> = heights.keys().map(|labels| labels["scenario.node"].as_str()).collect();
    ensure!(series == nodes.into(), "{series:?}");
    let run = received.metrics.get("scenario_run").context("nothing of runs")?;
    let passed = run.keys().find(|labels| labels["scenario.verdict"] == "passed");
    let passed = passed.with_context(|| format!("{run:?}"))?;
    for (labels, height) in heights {
        ensure!(*height > 0.0, "{labels:?} has height {height}");
        for name in ["scenario.case", "scenario.cluster", "scenario.invocation"] {
            ensure!(labels[name] == passed[name], "{name} of nodes and framework: {labels:?} {passed:?}");
        }
        ensure!(labels["scenario.invocation"] == told.invocation, "{labels:?}");
    }
    for name in ["devnode_transactions_included_total", "devnode_blobs_included_total"] {
        let values = received.metrics.get(name).with_context(|| format!("no {name}"))?;
        ensure!(values.values().all(|value| *value > 0.0), "{name}: {values:?}");
    }
    Ok(())
}

/// With faults nodes share networks with the relay alone, and the one that leads to this machine.
async fn faults_keep_no_node_from_its_collector(backend: &str) -> Outcome {
    let (collector, settings) = collector().await?;
    let case = format!("{backend}::is_cut_off");
    inner::passes(&[&case], &pairs(&settings)).await?;
    let received = collector.received();
    let traces = Traces(&received);
    let run = traces.run(&case)?;
    let fault = traces.names(run).into_iter().find(|name| name.starts_with("fault "));
    let fault = fault.with_context(|| format!("no fault in {:?}", traces.names(run)))?;
    ensure!(fault.contains("validator-2"), "{fault}");
    let nodes = traces.nodes_with(run, "block applied");
    ensure!(nodes.len() == 3, "blocks of {nodes:?}");
    Ok(())
}

/// Nodes of a cluster that many use are under no case's spans, and every block is a trace.
async fn shared() -> Outcome {
    let (collector, settings) = collector().await?;
    inner::passes(&["local::shares_one", "local::shares_two"], &pairs(&settings)).await?;
    let received = collector.received();
    let traces = Traces(&received);
    let runs = [traces.run("local::shares_one")?, traces.run("local::shares_two")?];
    let clusters = runs.map(|run| traces.attribute(run, "scenario.cluster"));
    ensure!(clusters[0].is_some() && clusters[0] == clusters[1], "{clusters:?}");
    for run in runs {
        ensure!(traces.nodes_with(run, "block applied").is_empty(), "nodes are in a case's trace");
    }
    let node = received.resources.iter().find(|it| it.contains_key("scenario.node")).context("no node")?;
    ensure!(node.get("scenario.cluster") == clusters[0].as_ref(), "{node:?} {clusters:?}");
    ensure!(!node.contains_key("scenario.case"), "{node:?}");
    let proposed = received.spans.iter().filter(|(_, span)| span.name == "block proposed");
    let told = proposed.filter(|(of, span)| {
        let same = |(other, seen): &&(_, opentelemetry_proto::tonic::trace::v1::Span)| {
            seen.name == "block applied" && seen.trace_id == span.trace_id && other != of
        };
        received.spans.iter().any(|it| same(&it))
    });
    ensure!(told.count() > 5, "what two nodes tell of a block is one trace");
    Ok(())
}

/// Nothing is connected to, also where collectors usually are.
async fn unset() -> Outcome {
    let usual = ["127.0.0.1:4317", "127.0.0.1:4318"];
    let listeners: Vec<_> = usual.iter().filter_map(|address| TcpListener::bind(address).ok()).collect();
    inner::passes(&["local::sends"], &[]).await?;
    for listener in listeners {
        listener.set_nonblocking(true)?;
        ensure!(listener.accept().is_err(), "somebody connected to {}", listener.local_addr()?);
    }
    Ok(())
}

async fn nobody_listens() -> Outcome {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let url = format!("http://{address}");
    let names = ["NOMOS_OTLP_ENDPOINT", "NOMOS_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let told = inner::passes(&["local::sends"], &names.map(|name| (name, &*url))).await?;
    let warnings = told.said.matches("the collector at OTEL_EXPORTER_OTLP_ENDPOINT is not told").count();
    ensure!(warnings == 1, "{warnings} warnings in:\n{}", told.said);
    Ok(())
}

async fn metrics_go_where_the_scenario_says() -> Outcome {
    let collector = Collector::start("127.0.0.1:0").await?;
    let topology = Topology::two_validators().slot(Duration::from_millis(300));
    let scenario = ScenarioBuilder::with_topology(topology)
        .with_program(Devnode::at(env!("CARGO_BIN_EXE_devnode")))
        .with_metrics_otlp_ingest_url(format!("{}/api/v1/otlp/v1/metrics", collector.url()))
        .with_grafana_url("http://grafana.example:3000")
        .with_run_duration(Duration::from_secs(6))
        .expect_consensus_liveness()
        .build()?;
    let runner = LocalDeployer::default().deploy(&scenario).await?;
    runner.run(&scenario).await?;
    let heights =
        || async { collector.received().metrics.get("devnode_height").map(BTreeMap::len).ok_or("none") };
    let told = wait::until("the heights of two nodes", WITHIN, || async {
        match heights().await {
            Ok(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let told = told.await;
    runner.teardown().await?;
    told?;
    ensure!(collector.received().spans.is_empty(), "nobody asked for spans");
    Ok(())
}
