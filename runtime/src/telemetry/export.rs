//! What the framework itself tells by OTLP, where `OTEL_EXPORTER_OTLP_ENDPOINT` says where to: a trace for each run,
//! and as metrics which case uses which cluster, and how long its phases took.
//!
//! Both are made of what the run's files are made of, when the run is over. So nothing is told that the report does
//! not have, and a run is never slower for being told. They are sent in OTLP's JSON form, which is plain data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::identity::Trace;
use super::{below, since_epoch};
use crate::deployer::{NodeAction, NodeState, NodeStatus};
use crate::env;
use crate::report::{Phase, Record, SavedEvent, Verdict, What, mask, read_events};

/// How long a verdict waits for what is told of its run.
const WITHIN: Duration = Duration::from_secs(2);
/// What OTLP calls the status of a span that failed.
const ERROR: u8 = 2;

/// Tells the collector of a run that drives now, while nobody waits for it.
pub(crate) fn begun(record: &Record) {
    if let Some(collector) = &env::settings().otlp {
        let _ = sending(collector, vec![("v1/metrics", metrics(record))]);
    }
}

/// Tells the collector of a run that is over, whose events are in a directory. Where it does not listen that is a
/// warning, once, and nobody waits again.
pub(crate) fn over(run: &str, record: &Record, directory: &Path) {
    static IN_VAIN: AtomicBool = AtomicBool::new(false);
    let Some(collector) = &env::settings().otlp else { return };
    let told = sending(
        collector,
        vec![("v1/traces", trace(run, record, &read_events(directory))), ("v1/metrics", metrics(record))],
    );
    if IN_VAIN.load(Ordering::Relaxed) {
        return;
    }
    let failed = match told.recv_timeout(WITHIN) {
        Ok(told) => told.err(),
        Err(_) => Some(format!("no answer within {} s", WITHIN.as_secs())),
    };
    if let Some(error) = failed.filter(|_| !IN_VAIN.swap(true, Ordering::Relaxed)) {
        eprintln!(
            "warning: the collector at OTEL_EXPORTER_OTLP_ENDPOINT is not told of this run: {}; nobody waits for it again",
            mask::text(&error)
        );
    }
}

/// Sends data on a thread of its own, whichever runtime there is here or not.
fn sending(collector: &Url, mut data: Vec<(&'static str, Value)>) -> mpsc::Receiver<Result<(), String>> {
    data.iter_mut().for_each(|(_, data)| mask::value(data));
    let (tell, told) = mpsc::channel();
    let collector = collector.clone();
    let sending = std::thread::Builder::new().name("telemetry".to_owned());
    // Whoever gets no thread tells nothing: the receiver hears that the sender is gone.
    let _ = sending.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let sent = runtime.map_err(|error| error.to_string());
        // Who asked may not wait any more.
        let _ = tell.send(sent.and_then(|runtime| runtime.block_on(send(&collector, data))));
    });
    told
}

async fn send(collector: &Url, data: Vec<(&'static str, Value)>) -> Result<(), String> {
    let client = Client::new();
    for (path, data) in data {
        let sent = client.post(below(collector, path)).timeout(WITHIN).json(&data).send().await;
        sent.and_then(reqwest::Response::error_for_status).map_err(|error| chain(&error))?;
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn resource() -> Value {
    attributes(&[("service.name", "logos-scenario"), ("service.version", env!("CARGO_PKG_VERSION"))])
}

fn attributes<V: AsRef<str>>(all: &[(&str, V)]) -> Value {
    let attribute =
        |(key, value): &(&str, V)| json!({ "key": key, "value": { "stringValue": value.as_ref() } });
    all.iter().map(attribute).collect()
}

/// What tells a run from others, in the words that nodes use of themselves.
fn names(record: &Record) -> [(&'static str, String); 4] {
    [
        ("scenario.case", record.case.clone()),
        ("scenario.backend", record.backend.clone()),
        ("scenario.cluster", record.cluster_name.clone()),
        ("scenario.invocation", record.invocation.clone()),
    ]
}

/// A part of a run, in seconds since that began.
struct Part {
    name: String,
    under: Option<String>,
    from: f64,
    to: f64,
    attributes: Vec<(&'static str, String)>,
    failed: Option<String>,
}

/// The run, its phases, and what workloads and faults did while it was driven.
fn parts(record: &Record, events: &[SavedEvent]) -> Vec<Part> {
    let last = record.phases.last().map_or(0.0, |it| it.at + it.seconds.unwrap_or_default());
    let end = events.last().map_or(last, |event| event.second.max(last));
    let mut whole: Vec<_> = names(record).into();
    whole.push(("scenario.seed", record.seed.to_string()));
    whole.extend(record.repeat.clone().map(|command| ("scenario.repeat", command)));
    whole.extend(record.class.map(|class| ("scenario.failure_class", class.to_string())));
    let failed = (record.verdict == Verdict::Failed).then(|| record.subjects());
    let case = record.case.clone();
    let mut parts = vec![Part { name: case, under: None, from: 0.0, to: end, attributes: whole, failed }];
    let part = |name: &str, under: &str, from, to| Part {
        name: name.to_owned(),
        under: Some(under.to_owned()),
        from,
        to,
        attributes: Vec::new(),
        failed: None,
    };
    let phases = record.phases.iter().enumerate();
    let phases: Vec<_> = phases.map(|(index, it)| (format!("phase {index}"), it)).collect();
    for (_, it) in &phases {
        let until = it.seconds.map_or(end, |seconds| it.at + seconds);
        parts.push(part(&it.phase.to_string(), "", it.at, until));
    }
    // What happens in a drive may outlast its phase, and the trace shows both as they were.
    let drive = |second: f64| {
        let driven = phases.iter().rev().find(|(_, it)| it.phase == Phase::Drive && it.at <= second);
        driven.map_or("", |(name, _)| name)
    };
    let mut open: Vec<(String, Part)> = Vec::new();
    for SavedEvent { second, what } in events {
        let mut close = |key: &str| {
            if let Some(place) = open.iter().position(|(other, _)| other == key) {
                let (_, part) = open.remove(place);
                parts.push(Part { to: *second, ..part });
            }
        };
        match what {
            What::Workload { name, began } => {
                parts.push(part(&format!("workload {name}"), drive(*began), *began, *second));
            }
            What::Fault { node, action } => match action {
                NodeAction::Start | NodeAction::Resume => {}
                NodeAction::Rejoin => close(&format!("{} {node}", NodeAction::Isolate)),
                _ => {
                    let key = format!("{action} {node}");
                    open.push((key.clone(), part(&format!("fault {key}"), drive(*second), *second, end)));
                }
            },
            What::Node(NodeState { name, status: NodeStatus::Running, .. }) => {
                let ended = [NodeAction::Stop, NodeAction::Kill, NodeAction::Restart, NodeAction::Pause];
                ended.iter().for_each(|action| close(&format!("{action} {name}")));
                close(name);
            }
            What::Node(NodeState { name, status, .. }) => {
                close(name);
                open.push((name.clone(), part(&format!("{name}: {status}"), drive(*second), *second, end)));
            }
            What::Network { applied, healed } => {
                healed.iter().for_each(|fault| close(&fault.to_string()));
                if let Some(fault) = applied {
                    let key = fault.to_string();
                    open.push((key.clone(), part(&format!("fault {key}"), drive(*second), *second, end)));
                }
            }
            _ => {}
        }
    }
    parts.extend(open.into_iter().map(|(_, part)| part));
    parts
}

/// OTLP's request that tells of a run's trace.
fn trace(run: &str, record: &Record, events: &[SavedEvent]) -> Value {
    let trace = Trace::of(run);
    let began = since_epoch(record.began());
    let nanos = |second: f64| (began + Duration::from_secs_f64(second.max(0.0))).as_nanos().to_string();
    let id = |name: &str| if name.is_empty() { trace.root } else { trace.span(name) };
    let span = |(index, part): (usize, &Part)| {
        // The phases follow the run, in the order by which others name them.
        let name = match index {
            0 => String::new(),
            _ if index <= record.phases.len() => format!("phase {}", index - 1),
            _ => format!("part {index}"),
        };
        json!({
            "traceId": hex::encode(trace.id),
            "spanId": hex::encode(id(&name)),
            "parentSpanId": part.under.as_ref().map(|under| hex::encode(id(under))).unwrap_or_default(),
            "name": part.name,
            "kind": 1,
            "startTimeUnixNano": nanos(part.from),
            "endTimeUnixNano": nanos(part.to),
            "attributes": attributes(&part.attributes),
            "status": match &part.failed {
                Some(what) => json!({ "code": ERROR, "message": what }),
                None => json!({}),
            },
        })
    };
    let spans: Vec<_> = parts(record, events).iter().enumerate().map(span).collect();
    let scope = json!({ "scope": { "name": "logos-scenario" }, "spans": spans });
    json!({ "resourceSpans": [{ "resource": { "attributes": resource() }, "scopeSpans": [scope] }] })
}

/// OTLP's request that tells of the metrics of a run: `scenario_run` says by its labels that the case uses the cluster,
/// and `scenario_phase_seconds` how long each phase took that is over.
fn metrics(record: &Record) -> Value {
    let verdict = format!("{:?}", record.verdict).to_lowercase();
    let now = since_epoch(SystemTime::now()).as_nanos().to_string();
    let point = |more: (&'static str, String), value: f64| {
        let all: Vec<_> = names(record).into_iter().chain([more]).collect();
        json!({ "attributes": attributes(&all), "timeUnixNano": now, "asDouble": value })
    };
    let mut seconds = BTreeMap::<Phase, f64>::new();
    for phase in &record.phases {
        if let Some(took) = phase.seconds {
            *seconds.entry(phase.phase).or_default() += took;
        }
    }
    let phases = seconds.into_iter().map(|(phase, took)| point(("scenario.phase", phase.to_string()), took));
    let gauge = |name: &str, description: &str, points: Vec<Value>| json!({ "name": name, "description": description, "gauge": { "dataPoints": points } });
    let metrics = [
        gauge(
            "scenario_run",
            "1 for a run of a case on a cluster",
            vec![point(("scenario.verdict", verdict), 1.0)],
        ),
        gauge("scenario_phase_seconds", "how long a phase of a run took", phases.collect()),
    ];
    let scope = json!({ "scope": { "name": "logos-scenario" }, "metrics": metrics });
    json!({ "resourceMetrics": [{ "resource": { "attributes": resource() }, "scopeMetrics": [scope] }] })
}

#[cfg(test)]
mod tests;
