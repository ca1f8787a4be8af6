//! What is drawn, as Vega-Lite specifications: data in, data out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::deployer::{NodeAction, NodeState, NodeStatus};
use crate::report::Phase;
use crate::report::saved::{Saved, What};

mod submitted;

/// One picture, with the rows it is drawn from for those who cannot see it.
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What to see in it.
    pub(super) about: String,
    pub(super) spec: Value,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

/// Marks for tips that a browser draws in no time.
const MARKS: usize = 4_000;
/// What the timeline shows, and a colour of each after Okabe and Ito, which the colour-blind can tell apart;
/// the blue is lighter than theirs, for dark grounds.
const KINDS: [(&str, &str); 11] = [
    ("phase", "#8a8f98"),
    ("block", "#2a8bd0"),
    ("reorg", "#cc79a7"),
    ("fault", "#d55e00"),
    ("start", "#009e73"),
    ("network fault", "#e69f00"),
    ("isolated", "#e69f00"),
    ("paused", "#b8a900"),
    ("stopped", "#56b4e9"),
    (SILENT, "#f0e442"),
    ("ended by itself", "#d55e00"),
];
const SILENT: &str = "does not answer";
/// Faults of the network that have room for their names.
const FEW: usize = 3;
const PHASES: &str = "phases";
const NETWORK: &str = "network";
const REORGS: &str = "reorgs";

/// The charts of a run, those left out of which it has nothing to show.
pub(super) fn all(saved: &Saved) -> Vec<Chart> {
    let submitted = [
        (
            "transactions",
            "Transactions over time",
            "latency-of-transactions",
            "How long transactions took",
            &saved.transactions,
        ),
        ("blobs", "Blobs over time", "latency-of-blobs", "How long blobs took", &saved.blobs),
    ];
    let pairs = submitted.into_iter().flat_map(|(id, title, latency_id, latency_title, what)| {
        [submitted::flow(saved, id, title, what), submitted::latency(saved, latency_id, latency_title, what)]
    });
    [timeline(saved), heights(saved)].into_iter().chain(pairs).flatten().collect()
}

/// Phases, what each node did and when its chain grew.
fn timeline(saved: &Saved) -> Option<Chart> {
    let end = end(saved);
    let mut spans = Vec::new();
    let mut ticks = Vec::new();
    for phase in &saved.record.phases {
        let until = phase.seconds.map_or(end, |seconds| phase.at + seconds);
        spans.push(span(PHASES, phase.at, until, "phase", phase.phase.to_string()));
    }
    let mut down: BTreeMap<&str, (f64, &'static str, String)> = BTreeMap::new();
    let every = thinned(saved);
    let mut tips: BTreeMap<&str, usize> = BTreeMap::new();
    let mut silent: BTreeMap<&str, (f64, String)> = BTreeMap::new();
    let mut isolated: BTreeMap<&str, f64> = BTreeMap::new();
    let mut disturbed = Vec::new();
    for event in &saved.events {
        let at = event.second;
        match &event.what {
            What::Tip { node, height, id, .. } => {
                if let Some((since, error)) = silent.remove(node.as_str()) {
                    spans.push(span(node, since, at, SILENT, error));
                }
                let count = tips.entry(node).or_default();
                if count.is_multiple_of(every) {
                    ticks.push(tick(node, at, "block", format!("height {height}, {}", short(id))));
                }
                *count += 1;
            }
            What::Reorg { depth } => ticks.push(tick(REORGS, at, "reorg", format!("of depth {depth}"))),
            What::Silent { node, error } => _ = silent.entry(node.as_str()).or_insert((at, error.clone())),
            What::Broken { how } => ticks.push(tick(NETWORK, at, "fault", how.clone())),
            What::Node(NodeState { name, status, starts, .. }) => {
                if let Some((since, kind, what)) = down.remove(name.as_str()) {
                    spans.push(span(name, since, at, kind, what));
                }
                let kind = match status {
                    NodeStatus::Running => None,
                    NodeStatus::Paused => Some("paused"),
                    NodeStatus::Stopped => Some("stopped"),
                    NodeStatus::Exited(_) => Some("ended by itself"),
                };
                match kind {
                    Some(kind) => _ = down.insert(name, (at, kind, status.to_string())),
                    None if *starts > 1 => ticks.push(tick(name, at, "start", format!("start {starts}"))),
                    None => {}
                }
            }
            What::Fault { node, action } => {
                match action {
                    NodeAction::Isolate => _ = isolated.insert(node, at),
                    NodeAction::Rejoin => {
                        let since = isolated.remove(node.as_str()).unwrap_or_default();
                        spans.push(span(node, since, at, "isolated", "isolated".to_owned()));
                    }
                    _ => {}
                }
                ticks.push(tick(node, at, "fault", format!("told to {action}")));
            }
            What::Network { applied, healed } => {
                disturbed.extend(applied.iter().map(|fault| (fault, at)));
                for fault in healed {
                    let Some(place) = disturbed.iter().position(|(active, _)| *active == fault) else {
                        continue;
                    };
                    let (fault, since) = disturbed.remove(place);
                    spans.push(span(NETWORK, since, at, "network fault", fault.to_string()));
                }
            }
            What::Phase { .. }
            | What::Ancestor(_)
            | What::Block(_)
            | What::Finalized { .. }
            | What::Disturbance { .. }
            | What::Back { .. }
            | What::Workload { .. }
            | What::Other => {}
        }
    }
    spans.extend(silent.into_iter().map(|(node, (since, error))| span(node, since, end, SILENT, error)));
    spans.extend(down.into_iter().map(|(node, (since, kind, what))| span(node, since, end, kind, what)));
    spans.extend(
        isolated.into_iter().map(|(node, since)| span(node, since, end, "isolated", "isolated".to_owned())),
    );
    let healed_never = disturbed.into_iter();
    spans.extend(
        healed_never.map(|(fault, since)| span(NETWORK, since, end, "network fault", fault.to_string())),
    );
    let is_used = |lane: &&str| spans.iter().chain(&ticks).any(|it| it["lane"] == **lane);
    let nodes = saved.record.nodes.iter().map(|(name, _)| name.as_str());
    let lanes: Vec<&str> = [PHASES, NETWORK]
        .into_iter()
        .filter(is_used)
        .chain(nodes)
        .chain([REORGS].into_iter().filter(is_used))
        .collect();
    let seen = |(kind, _): &(&str, &str)| spans.iter().chain(&ticks).any(|it| it["kind"] == *kind);
    let (kinds, colours): (Vec<_>, Vec<_>) = KINDS.into_iter().filter(seen).unzip();
    let color = json!({ "field": "kind", "type": "nominal", "title": "", "scale": { "domain": kinds, "range": colours } });
    let y = json!({ "field": "lane", "type": "nominal", "title": null, "sort": lanes, "scale": { "domain": lanes } });
    let rows = |it: &Value| {
        let at = it.get("at").or(it.get("from")).and_then(Value::as_f64).unwrap_or_default();
        let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
        (at, vec![seconds(at), text("lane"), text("kind"), text("what")])
    };
    let mut rows: Vec<_> = spans.iter().chain(&ticks).map(rows).collect();
    rows.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let is_empty = spans.is_empty();
    let spec = json!({
        "height": { "step": 28 },
        "layer": [
            {
                "data": { "values": spans },
                "mark": { "type": "bar", "clip": true, "size": 20, "cornerRadius": 2, "opacity": 0.45, "stroke": "gray" },
                "encoding": {
                    "x": time("from", saved), "x2": { "field": "to" }, "y": y, "color": color,
                    "tooltip": tooltip(&["lane", "kind", "what", "from", "to"]),
                },
            },
            {
                "data": { "values": names(saved, &spans, end) },
                "mark": { "type": "text", "align": "left", "dx": 4, "clip": true, "limit": 480 },
                "encoding": { "x": time("from", saved), "y": y, "text": { "field": "what" } },
            },
            {
                "data": { "values": ticks },
                "selection": zoom(),
                "mark": { "type": "tick", "clip": true, "thickness": 2, "size": 18 },
                "encoding": {
                    "x": time("at", saved), "y": y, "color": color,
                    "tooltip": tooltip(&["lane", "kind", "what", "at"]),
                },
            },
        ],
    });
    (!is_empty).then(|| Chart {
        id: "timeline",
        title: "Timeline",
        about: "Phases of the run above; below, for each node, a mark wherever the tip of its chain changed, and bars \
                while it was down, paused, cut off or did not answer, or while the network was disturbed."
            .to_owned()
            + &only_some(every),
        spec,
        columns: &["second", "lane", "kind", "what"],
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    })
}

/// Names of the phases that are long enough to bear one, and of the network's faults where they are few.
fn names(saved: &Saved, spans: &[Value], end: f64) -> Vec<Value> {
    let long = (end - begin(saved)) / 16.0;
    let phases = saved.record.phases.iter().filter(|it| it.seconds.unwrap_or(end - it.at) > long);
    let phases = phases.map(|it| json!({ "lane": PHASES, "from": it.at, "what": it.phase.to_string() }));
    let faults: Vec<_> = spans.iter().filter(|span| span["lane"] == NETWORK).cloned().collect();
    let few = if faults.len() > FEW { Vec::new() } else { faults };
    phases.chain(few).collect()
}

/// Of how many changes of a node's tip one is drawn.
fn thinned(saved: &Saved) -> usize {
    let tips = saved.events.iter().filter(|event| matches!(event.what, What::Tip { .. })).count();
    tips.div_ceil(MARKS).max(1)
}

fn only_some(every: usize) -> String {
    if every == 1 { String::new() } else { format!(" Of every {every} changes of a tip one is drawn.") }
}

fn heights(saved: &Saved) -> Option<Chart> {
    let every = thinned(saved);
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tips = Vec::new();
    for event in &saved.events {
        let What::Tip { node, height, .. } = &event.what else { continue };
        let count = count.entry(node).or_default();
        if count.is_multiple_of(every) {
            tips.push((event.second, node, *height));
        }
        *count += 1;
    }
    let mut values: Vec<_> =
        tips.iter().map(|(at, node, height)| json!({ "at": at, "node": node, "height": height })).collect();
    let rows = tips
        .into_iter()
        .map(|(at, node, height)| vec![seconds(at), node.clone(), height.to_string()])
        .collect::<Vec<_>>();
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for value in &values {
        last.insert(value["node"].to_string(), value.clone());
    }
    values.extend(last.into_values().map(|mut value| {
        value["at"] = json!(end(saved));
        value
    }));
    let nodes: Vec<_> = saved.record.nodes.iter().map(|(name, _)| name).collect();
    (!rows.is_empty()).then(|| Chart {
        id: "heights",
        title: "Height of each node",
        about: "Height of the tip of each node's chain, as it was seen. Lines that part are chains that do not agree, \
                or nodes that lag; a flat one stands still."
            .to_owned()
            + &only_some(every),
        spec: json!({
            "height": 240,
            "data": { "values": values },
            "selection": zoom(),
            "mark": { "type": "line", "clip": true, "interpolate": "step-after" },
            "encoding": {
                "x": time("at", saved),
                "y": { "field": "height", "type": "quantitative", "title": "height", "scale": { "zero": false } },
                "color": { "field": "node", "type": "nominal", "title": "", "scale": { "domain": nodes } },
                "strokeDash": { "field": "node", "type": "nominal", "title": "", "scale": { "domain": nodes } },
                "tooltip": tooltip(&["node", "height", "at"]),
            },
        }),
        columns: &["second", "node", "height"],
        rows,
    })
}

/// When the last thing is known to have happened.
fn end(saved: &Saved) -> f64 {
    let phases = saved.record.phases.iter().map(|it| it.at + it.seconds.unwrap_or_default());
    phases.chain(saved.events.iter().map(|event| event.second)).fold(0.0, f64::max)
}

fn span(lane: &str, from: f64, to: f64, kind: &str, what: String) -> Value {
    json!({ "lane": lane, "from": from, "to": to, "kind": kind, "what": what })
}

fn tick(lane: &str, at: f64, kind: &str, what: String) -> Value {
    json!({ "lane": lane, "at": at, "kind": kind, "what": what })
}

/// From the end of the wait for a cluster, which may be longer than all that follows.
fn begin(saved: &Saved) -> f64 {
    saved.record.phases.iter().find(|it| it.phase != Phase::Queue).map_or(0.0, |first| first.at)
}

fn time(field: &str, saved: &Saved) -> Value {
    let domain = [begin(saved), end(saved)];
    json!({ "field": field, "type": "quantitative", "title": "seconds since the run began", "scale": { "domain": domain, "nice": false } })
}

fn tooltip(fields: &[&str]) -> Value {
    let number = ["at", "from", "to"];
    let field = |name: &&str| match number.contains(name) {
        true => json!({ "field": name, "type": "quantitative", "format": ".2f" }),
        false => json!({ "field": name, "type": "nominal" }),
    };
    fields.iter().map(field).collect()
}

/// Without the key held the wheel scrolls the page.
fn zoom() -> Value {
    json!({ "zoom": { "type": "interval", "bind": "scales", "encodings": ["x"], "zoom": "wheel![event.shiftKey]" } })
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

pub(super) fn seconds(seconds: f64) -> String {
    format!("{seconds:.2}")
}
