//! Where a Grafana shows a run, where `NOMOS_GRAFANA_URL` or the scenario says that there is one.

use std::time::UNIX_EPOCH;

use reqwest::Url;

use crate::report::Record;

/// The page of the dashboard in `assets/grafana/cluster.json` that shows the cluster of a run from its beginning on.
pub(crate) fn link(grafana: &Url, record: &Record, cluster: &str) -> String {
    let began = humantime::parse_rfc3339_weak(&record.started).unwrap_or(UNIX_EPOCH);
    let from = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut url = grafana.clone();
    url.set_path(&format!("{}/d/logos-scenario-cluster", grafana.path().trim_end_matches('/')));
    url.query_pairs_mut()
        .append_pair("var-invocation", &record.invocation)
        .append_pair("var-case", &record.case)
        .append_pair("var-cluster", cluster)
        .append_pair("from", &from.to_string())
        .append_pair("to", "now");
    url.into()
}
