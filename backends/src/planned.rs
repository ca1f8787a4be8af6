//! What a planned node becomes wherever it runs: texts without symbols, an environment, addresses.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use logos_scenario_runtime::deployer::{ClusterDescription, DeployError};
use logos_scenario_runtime::plan::{Bindings, Plan, PlannedNode};

use crate::env::{LOG_FILTER, LOG_LEVEL, Settings};

/// The plan with every symbol replaced.
pub(crate) fn render(plan: &Plan, bindings: &Bindings) -> Result<Vec<PlannedNode>, DeployError> {
    plan.render(bindings).map_err(|error| DeployError {
        subject: error.node.clone(),
        what: error.to_string(),
        try_next: "use the symbols of `plan::symbol` in the node program's texts".to_owned(),
        log: None,
    })
}

/// Rounded up, since configurations have no more digits.
pub(crate) fn to_whole_milliseconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_nanos().div_ceil(1_000_000);
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// What the plan names, and what settings hand to nodes where it does not name them.
pub(crate) fn environment(node: &PlannedNode, settings: &Settings) -> BTreeMap<String, String> {
    let logs = [(LOG_LEVEL, &settings.log_level), (LOG_FILTER, &settings.log_filter)];
    let logs = logs.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let handed = settings.handed.iter().map(|(name, value)| (*name, value)).chain(logs);
    let mut env: BTreeMap<_, _> = handed.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    env.extend(node.env.clone());
    env
}

/// What the users of a cluster are told of it: each node's log is `<name>.log` in `logs`.
pub(crate) fn description(plan: &Plan, bindings: &Bindings, logs: &Path) -> ClusterDescription {
    ClusterDescription::new(plan, bindings, |node| logs.join(format!("{}.log", node.name)))
}
