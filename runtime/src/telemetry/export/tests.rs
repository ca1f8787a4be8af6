//! What becomes of a run's record and events.

use super::*;
use crate::faults::NetworkFault;
use crate::report::{Journal, SavedEvent};

fn record() -> Record {
    let directory = tempfile::tempdir().unwrap();
    let mut record = Journal::new(directory.path(), "run-1", "local::case").record();
    let phases = json!([
        { "phase": "queue", "at": 0.0, "seconds": 1.0 },
        { "phase": "drive", "at": 1.0, "seconds": 9.0 },
        { "phase": "judge", "at": 10.0, "seconds": 1.0 },
    ]);
    record.phases = serde_json::from_value(phases).unwrap();
    record.cluster_name = "cluster-ab.1".to_owned();
    record.verdict = Verdict::Failed;
    record
}

fn isolated() -> NetworkFault {
    NetworkFault::Isolate("validator-0".to_owned())
}

fn events() -> Vec<SavedEvent> {
    let (kill, pause, isolated) = (NodeAction::Kill, NodeAction::Pause, isolated());
    let running = NodeStatus::Running;
    let events = json!([
        { "second": 2.0, "event": "fault", "node": "validator-1", "action": kill },
        { "second": 3.0, "event": "network fault", "applied": isolated },
        { "second": 4.0, "event": "node", "name": "validator-1", "status": running, "starts": 2, "starts_by_us": 2 },
        { "second": 5.0, "event": "network fault", "healed": [isolated] },
        { "second": 9.5, "event": "workload", "name": "Transactions", "began": 1.25 },
        { "second": 11.0, "event": "fault", "node": "validator-0", "action": pause },
    ]);
    serde_json::from_value(events).unwrap()
}

#[test]
fn a_run_is_a_trace_of_its_phases_workloads_and_faults() {
    let parts = parts(&record(), &events());
    let told: Vec<_> = parts.iter().map(|it| (&*it.name, it.under.as_deref(), it.from, it.to)).collect();
    let drive = Some("phase 1");
    let isolated = format!("fault {}", isolated());
    assert_eq!(
        told,
        [
            ("local::case", None, 0.0, 11.0),
            ("queue", Some(""), 0.0, 1.0),
            ("drive", Some(""), 1.0, 10.0),
            ("judge", Some(""), 10.0, 11.0),
            ("fault die validator-1", drive, 2.0, 4.0),
            (&isolated, drive, 3.0, 5.0),
            ("workload Transactions", drive, 1.25, 9.5),
            ("fault pause validator-0", drive, 11.0, 11.0),
        ]
    );
}

#[test]
fn spans_hang_together_and_are_where_nodes_look_for_them() {
    let data = trace("run-1/local::case/1", &record(), &events());
    let spans = data["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let Trace { id, root } = Trace::of("run-1/local::case/1");
    assert!(spans.iter().all(|span| span["traceId"] == hex::encode(id)));
    assert_eq!((&spans[0]["spanId"], &spans[0]["parentSpanId"]), (&json!(hex::encode(root)), &json!("")));
    assert_eq!(spans[0]["status"]["code"], ERROR);
    for span in &spans[1..] {
        assert!(spans.iter().any(|other| other["spanId"] == span["parentSpanId"]), "{span}");
    }
    let drive = spans.iter().find(|span| span["name"] == "drive").unwrap();
    assert!(spans.iter().any(|span| span["parentSpanId"] == drive["spanId"]));
    let nanos = |of: &str| drive[of].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(nanos("endTimeUnixNano") - nanos("startTimeUnixNano"), 9_000_000_000);
}

#[test]
fn metrics_say_which_case_uses_which_cluster() {
    let data = metrics(&record());
    let all = data["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["scenario_run", "scenario_phase_seconds"]);
    let labels = all[0]["gauge"]["dataPoints"][0]["attributes"].to_string();
    for part in ["local::case", "cluster-ab.1", "run-1", "failed"] {
        assert!(labels.contains(part), "no {part} in {labels}");
    }
    assert_eq!(all[1]["gauge"]["dataPoints"].as_array().unwrap().len(), 3);
}
