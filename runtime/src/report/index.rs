//! `index.html`: all cases of an invocation, made of their reports.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use maud::{Markup, html};
use serde_json::{Value, json};

use super::html::{self as page, PageError, badge, document, replace};
use super::saved::read_record;
use super::{Percentiles, Phase, Record, Verdict};
use crate::deployer::Placement;

/// The page of an invocation.
pub(crate) const FILE: &str = "index.html";

/// One attempt of one case.
struct Entry {
    /// Its directory, from that of the invocation.
    place: PathBuf,
    record: Record,
}

/// Makes the page of an invocation from the runs in its directory, if there are any.
pub(crate) fn write(directory: &Path) -> Result<(), PageError> {
    let entries = entries(directory)?;
    if entries.is_empty() {
        return Ok(());
    }
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    Ok(replace(&directory.join(FILE), &index(&name, &entries, &swept(directory)?))?)
}

/// Makes the page of one run again, or those of all runs of an invocation and their index; what was made.
pub(crate) fn render(directory: &Path) -> Result<Vec<PathBuf>, PageError> {
    let mut made = Vec::new();
    for run in runs(directory)? {
        page::write(&run)?;
        made.push(run.join(page::FILE));
    }
    if !made.contains(&directory.join(page::FILE)) {
        write(directory)?;
        made.push(directory.join(FILE));
    }
    Ok(made)
}

/// The run in a directory, or those of the invocation in it.
pub(crate) fn runs(directory: &Path) -> Result<Vec<PathBuf>, PageError> {
    let one = directory.join("report.json").is_file();
    let all: Vec<_> = entries(directory)?.into_iter().map(|entry| directory.join(entry.place)).collect();
    if one || all.is_empty() {
        // Says what is missing.
        read_record(directory)?;
        return Ok(vec![directory.to_owned()]);
    }
    Ok(all)
}

/// All runs whose reports can be read, in the order of their names.
fn entries(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for case in folders(directory)? {
        for attempt in folders(&case)? {
            let Ok(record) = read_record(&attempt) else { continue };
            let place = attempt.strip_prefix(directory).unwrap_or(&attempt).to_owned();
            entries.push(Entry { place, record });
        }
    }
    entries.sort_by(|one, other| one.place.cmp(&other.place));
    Ok(entries)
}

/// What earlier runs had left and this one's clusters removed.
fn swept(directory: &Path) -> io::Result<Vec<String>> {
    let mut swept = Vec::new();
    for folder in folders(directory)? {
        for cluster in folders(&folder)? {
            // Hardly any has left something.
            let text = fs::read_to_string(cluster.join(Placement::SWEPT)).unwrap_or_default();
            swept.extend(text.lines().map(str::to_owned));
        }
    }
    Ok(swept)
}

/// The folders in a folder. One that vanished meanwhile has none.
fn folders(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folders),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn index(invocation: &str, entries: &[Entry], swept: &[String]) -> String {
    let count = |verdict: Verdict| entries.iter().filter(|entry| entry.record.verdict == verdict).count();
    let (passed, failed, running) = (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Running));
    let leases = leases(entries);
    let charts = json!({ "clusters": leases });
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|entry| match entry.record.verdict {
        Verdict::Failed => 0,
        Verdict::Running => 1,
        Verdict::Passed => 2,
    });
    let body = html! {
        a .skip href="#content" { "Skip to the content" }
        header {
            p .path { "all cases of an invocation" }
            h1 { (invocation) }
            p .verdict {
                strong .passed[passed > 0] { (passed) " passed" } ", " strong .failed[failed > 0] { (failed) " failed" }
                @if running > 0 { ", " strong .running { (running) " did not end" } }
                " of " (entries.len()) " runs"
            }
        }
        main #content tabindex="-1" {
            (cases(&sorted))
            (health(entries, swept))
            section {
                h2 { "Who used which cluster when" }
                p .about { "A line for each cluster, a bar for each case that used it." }
                div .chart #chart-clusters role="img" aria-label="Bars for each cluster: who used it when. The table above has the same." {}
            }
        }
        (page::data("charts", &charts))
        (page::scripts())
    };
    document(invocation, &body)
}

fn cases(entries: &[&Entry]) -> Markup {
    let took = |record: &Record, wanted: &[Phase]| {
        let phases = record.phases.iter().filter(|it| wanted.contains(&it.phase));
        let seconds: Vec<f64> = phases.filter_map(|it| it.seconds).collect();
        if seconds.is_empty() { String::new() } else { format!("{:.2}", seconds.iter().sum::<f64>()) }
    };
    html! {
        section {
            h2 { "Cases" }
            div .scrolls-wide tabindex="0" role="region" aria-label="Cases" { table {
                thead { tr {
                    th scope="col" { "case" } th scope="col" { "verdict" }
                    @for column in ["queue", "deploy", "run", "teardown"] { th .number scope="col" { (column) " s" } }
                    th scope="col" { "what failed" }
                } }
                tbody {
                    @for Entry { place, record } in entries {
                        tr {
                            td { a href=(format!("{}/{}", place.display(), page::FILE)) { (record.case) }
                                @if !place.ends_with("1") { " (" (place.file_name().unwrap_or_default().to_string_lossy()) ")" } }
                            td { (badge(record)) }
                            td .number { (took(record, &[Phase::Queue])) }
                            td .number { (took(record, &[Phase::Deploy, Phase::Ready])) }
                            td .number { (took(record, &[Phase::Capture, Phase::Drive, Phase::Settle, Phase::Judge])) }
                            td .number { (took(record, &[Phase::Release, Phase::Teardown])) }
                            td { (record.subjects()) }
                        }
                    }
                }
            } }
        }
    }
}

/// How the framework itself fared.
fn health(entries: &[Entry], swept: &[String]) -> Markup {
    let seconds = |wanted: Phase| {
        let of_run = |entry: &Entry| {
            let phases = entry.record.phases.iter().filter(|it| it.phase == wanted);
            phases.filter_map(|it| it.seconds).reduce(|one, other| one + other)
        };
        Percentiles::of(entries.iter().filter_map(of_run))
    };
    let clusters: BTreeSet<_> = entries.iter().filter_map(|it| cluster(&it.record)).collect();
    let shared = entries.iter().filter(|entry| cluster(&entry.record).is_some()).count();
    let each = shared as f64 / clusters.len().max(1) as f64;
    let steps = [
        ("waiting for a cluster", Phase::Queue),
        ("waiting while it was deployed", Phase::Deploy),
        ("until ready", Phase::Ready),
        ("giving back", Phase::Release),
    ];
    let leaked = |entry: &&Entry| entry.record.failures.iter().any(|failure| failure.subject == "teardown");
    let left = entries.iter().filter(leaked).count();
    html! {
        section {
            h2 { "The framework itself" }
            dl .facts {
                dt { "clusters" }
                dd { (clusters.len()) " for " (shared) " runs, " (format!("{each:.1}")) " runs each" }
                @for (name, phase) in steps {
                    @if let Some(seconds) = seconds(phase) { dt { (name) } dd { (seconds) " seconds (of " (seconds.count) ")" } }
                }
                dt { "left by earlier runs and swept" }
                dd {
                    @if swept.is_empty() { "nothing" }
                    @for cluster in swept { (cluster) br; }
                }
                dt { "left by this one" }
                dd { @if left == 0 { "nothing" } @else { "something, after " (left) " runs: see the failures of `teardown`" } }
            }
        }
    }
}

/// The cluster a run used, told from others of the same key.
fn cluster(record: &Record) -> Option<String> {
    let directory = record.neighbours.as_ref()?.directory.as_ref()?;
    let mut parts = directory.iter().rev();
    let (number, key) = (parts.next()?.to_string_lossy(), parts.next()?.to_string_lossy());
    Some(format!("{} {key}/{number}", record.backend))
}

fn leases(entries: &[Entry]) -> Value {
    let bar = |Entry { record, .. }: &Entry| {
        let begin = humantime::parse_rfc3339_weak(&record.started).ok()?;
        let begin = begin.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64();
        let has = |phase: &&super::PhaseTime| !matches!(phase.phase, Phase::Queue);
        let first = record.phases.iter().find(has)?;
        let last = record.phases.last()?;
        let milliseconds = |second: f64| ((begin + second) * 1_000.0).round();
        Some(json!({
            "cluster": cluster(record)?, "case": record.case, "verdict": record.verdict,
            "from": milliseconds(first.at), "to": milliseconds(last.at + last.seconds.unwrap_or_default()),
        }))
    };
    let values: Vec<_> = entries.iter().filter_map(bar).collect();
    let time = json!({ "field": "from", "type": "temporal", "title": "", "axis": { "format": "%H:%M:%S", "tickCount": 10 } });
    json!({
        "height": { "step": 22 },
        "data": { "values": values },
        "mark": { "type": "bar", "size": 16, "cornerRadius": 2, "opacity": 0.75, "stroke": "gray" },
        "encoding": {
            "x": time, "x2": { "field": "to" },
            "y": { "field": "cluster", "type": "nominal", "title": "", "axis": { "labelLimit": 240 } },
            "color": {
                "field": "verdict", "type": "nominal", "title": "",
                "scale": { "domain": ["passed", "failed", "running"], "range": ["#009e73", "#d55e00", "#e69f00"] },
            },
            "tooltip": [
                { "field": "case", "type": "nominal" }, { "field": "verdict", "type": "nominal" },
                { "field": "from", "type": "temporal", "format": "%H:%M:%S" },
                { "field": "to", "type": "temporal", "format": "%H:%M:%S" },
            ],
        },
    })
}
