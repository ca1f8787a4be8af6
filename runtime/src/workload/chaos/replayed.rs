//! A plan of another run in place of the plans of this program's scenarios: `--fault-plan`.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use super::FaultPlan;
use crate::context::RunContext;
use crate::failure::{Failure, FailureClass};

static REPLAYED: OnceLock<FaultPlan> = OnceLock::new();

/// Lets every scenario with chaos follow the plan in a file: a run's `report.json`, or its section `faults` alone.
///
/// # Errors
///
/// The file cannot be read, or has no plan.
pub(crate) fn replay_everywhere(file: &Path) -> Result<(), String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let plan = read(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    // A program reads its arguments once.
    let _ = REPLAYED.set(plan);
    Ok(())
}

fn read(text: &str) -> Result<FaultPlan, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let plan = if value.is_array() { Some(&value) } else { section(&value) };
    let plan = plan.ok_or("has no section `faults`; give the `report.json` of a run with chaos")?;
    serde_json::from_value(plan.clone()).map_err(|error| format!("its section `faults` is no plan: {error}"))
}

/// The first section `faults` of any drive.
fn section(report: &Value) -> Option<&Value> {
    let drives = report["drives"].as_array()?;
    drives.iter().find_map(|drive| drive["sections"].get("faults"))
}

/// The plan to follow in place of a scenario's own.
pub(super) fn instead(cx: &RunContext) -> Result<Option<FaultPlan>, Failure> {
    let Some(plan) = REPLAYED.get() else { return Ok(None) };
    let nodes = cx.topology().nodes();
    let is_here = |name: &str| nodes.iter().any(|node| node.name == name);
    let missing = plan.0.iter().flat_map(|planned| planned.fault.nodes()).find(|node| !is_here(node));
    match missing {
        None => Ok(Some(plan.clone())),
        Some(node) => {
            let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
            Err(Failure::new(FailureClass::Test, "chaos")
                .expected("a plan for this topology in the file of `--fault-plan`")
                .seen(format!("it names {node}; the nodes are {}", names.join(", ")))
                .try_next("run only the case that the plan is of, by its full name and `--exact`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_from_a_report_and_from_its_section() {
        let plan = r#"[{"when":{"height":10},"fault":{"kill":"validator-1"},"back":{"blocks":3}}]"#;
        let report = format!(r#"{{"drives":[{{"sections":{{}}}},{{"sections":{{"faults":{plan}}}}}]}}"#);
        let read = |text: &str| read(text).map(|plan| serde_json::to_string(&plan).unwrap());
        assert_eq!(read(plan), Ok(plan.to_owned()));
        assert_eq!(read(&report), Ok(plan.to_owned()));
        assert_eq!(
            read("{}"),
            Err("has no section `faults`; give the `report.json` of a run with chaos".to_owned())
        );
        assert!(read("nothing").unwrap_err().starts_with("is no JSON"));
        assert!(read(r#"[{"kill":"a"}]"#).unwrap_err().contains("is no plan"));
    }
}
