//! Where a Grafana shows a run, where `NOMOS_GRAFANA_URL` or the scenario says that there is one.

use reqwest::Url;

use super::{below, since_epoch};
use crate::report::Record;

/// The page of the dashboard in `assets/grafana/cluster.json` that shows the cluster of a run from its beginning on.
pub(crate) fn link(grafana: &Url, record: &Record, cluster: &str) -> String {
    let from = since_epoch(record.began()).as_millis();
    let mut url = below(grafana, "d/logos-scenario-cluster");
    url.query_pairs_mut()
        .append_pair("var-invocation", &record.invocation)
        .append_pair("var-case", &record.case)
        .append_pair("var-cluster", cluster)
        .append_pair("from", &from.to_string())
        .append_pair("to", "now");
    url.into()
}
