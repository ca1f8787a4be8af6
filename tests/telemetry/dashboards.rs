//! The dashboards in `assets/grafana`: each of their queries has data in a real Prometheus after a real run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use logos_scenario::wait;
use logos_scenario_tests::prometheus::Prometheus;
use serde_json::Value;

use crate::{Outcome, WITHIN, collector, inner, pairs};

/// What Grafana puts in place of its variables.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "10s"),
    ("$__range", "15m"),
    ("$invocation", ".*"),
    ("$cluster", ".*"),
    ("$case", ".*"),
    ("$node", ".*"),
];

/// Each query with the panel or variable that has it; those of variables as what they choose from.
fn queries() -> anyhow::Result<BTreeMap<String, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/grafana");
    let mut queries = BTreeMap::new();
    let paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let board: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let of = board["title"].as_str().with_context(|| format!("{} has no title", path.display()))?;
        for panel in board["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let name = format!("{of}: {} {}", panel["title"], target["refId"]);
                queries.insert(name, target["expr"].as_str().context("a target has a query")?.to_owned());
            }
        }
        let variables = board["templating"]["list"].as_array().into_iter().flatten();
        for variable in variables.filter(|variable| variable["type"] == "query") {
            let query = variable["query"]["query"].as_str().context("a variable has a query")?;
            let chosen = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, label) =
                chosen.and_then(|it| it.rsplit_once(", ")).context("it has values of a label")?;
            queries.insert(
                format!("{of}: variable {}", variable["name"]),
                format!("count by ({label}) ({series})"),
            );
        }
    }
    Ok(queries)
}

pub(crate) async fn every_query_has_data() -> Outcome {
    let Some(prometheus) = Prometheus::start().await? else {
        eprintln!("skipped: there is no `prometheus` here; apt-get install prometheus");
        return Ok(());
    };
    let (collector, settings) = collector().await?;
    prometheus.scrape(&[&collector.address().to_string()])?;
    let told = inner::passes(&["local::sends"], &pairs(&settings)).await?;
    let queries = queries()?;
    ensure!(queries.len() > 20, "{queries:?}");
    let asked = prometheus.client()?;
    let lacking = wait::until("data for every query", WITHIN, || async {
        let mut lacking = Vec::new();
        for (name, query) in &queries {
            let query = VARIABLES.iter().fold(query.clone(), |query, (from, to)| query.replace(from, to));
            match asked.instant(&query).await {
                Ok(samples) if samples.is_empty() => lacking.push(format!("{name}: no data for {query}")),
                Ok(_) => {}
                Err(error) => lacking.push(format!("{name}: {error}")),
            }
        }
        if lacking.is_empty() { Ok(()) } else { Err(lacking.join("\n")) }
    });
    lacking.await.with_context(|| format!("{}\n{}", told.said, prometheus.log()))?;

    // A dashboard that has only one of the clusters' data shows no other.
    let invocation = format!("devnode_height{{scenario_invocation=\"{}\"}}", told.invocation);
    ensure!(asked.instant(&invocation).await?.len() == 3, "three nodes have the invocation's label");
    let now = std::time::SystemTime::now();
    let second = std::time::Duration::from_secs(1);
    let heights = asked.range(&invocation, now - 60 * second..now, second).await?;
    let grew = |values: &[(std::time::SystemTime, f64)]| {
        values.first().map(|it| it.1) < values.last().map(|it| it.1)
    };
    ensure!(heights.len() == 3 && heights.iter().all(|node| grew(&node.values)), "{heights:?}");
    let wrong = asked.range("sum(", now..now, second).await;
    ensure!(wrong.is_err_and(|error| error.to_string().contains("parse error")), "a wrong query is refused");
    Ok(())
}
