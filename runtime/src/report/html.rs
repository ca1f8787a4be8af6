//! `report.html`: one file that explains a run, without a network, a server or another file.
//!
//! It is made of what the run's directory holds, so that it can be made again later, and of a run that was killed:
//! [`write()`] after each phase, `cargo test -- --render <directory>` at any time.

use std::fs;
use std::io;
use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::saved::{Saved, SavedError, Submission};
use super::{Percentiles, Record, Verdict};

mod charts;
mod failures;
mod logs;
#[cfg(test)]
mod tests;
use charts::{Chart, seconds};

/// The page of a run.
pub(crate) const FILE: &str = "report.html";
/// Ids that are listed of what was lost.
const LISTED: usize = 200;
/// Values of a list among other things.
const FEW: usize = 10;
/// Rows of the table beside a chart.
const ROWS: usize = 1_000;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
const VEGA: &str = include_str!("../../assets/report/vega.js");
const VEGA_LITE: &str = include_str!("../../assets/report/vega-lite.js");

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Saved(#[from] SavedError),
    #[error("{FILE} cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Makes the page of the run in a directory, in place of the one before.
pub(crate) fn write(directory: &Path) -> Result<(), PageError> {
    let page = page(&Saved::read(directory)?);
    Ok(replace(&directory.join(FILE), &page)?)
}

/// Writes a file so that it is whole at every instant.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

fn page(saved: &Saved) -> String {
    let record = &saved.record;
    let charts = charts::all(saved);
    let body = html! {
        a .skip href="#content" { "Skip to the content" }
        header {
            nav .path aria-label="where this is" { a href="../../index.html" { "all cases" } " › " (record.invocation) }
            h1 { (record.case) }
            (verdict(record))
            nav .contents aria-label="on this page" {
                @if !record.failures.is_empty() { a href="#failed" { "What failed" } " " }
                a href="#run" { "The run" } " "
                @for chart in &charts { a href=(format!("#section-{}", chart.id)) { (chart.title) } " " }
                a href="#logs" { "Logs" } " " a href="#configuration" { "Configuration" }
            }
        }
        main #content tabindex="-1" {
            (failures::all(record))
            (facts(record))
            @if !saved.missing.is_empty() {
                section { h2 { "What is missing here" } ul { @for line in &saved.missing { li { (line) } } } }
            }
            @for chart in &charts { (drawn(chart)) }
            (workloads(record))
            (losses("Transactions", &saved.transactions))
            (losses("Blobs", &saved.blobs))
            (logs::form(saved))
            (phases(record))
            (configuration(record))
        }
        (data("charts", &json!(charts.iter().map(|chart| (chart.id, &chart.spec)).collect::<std::collections::BTreeMap<_, _>>())))
        (data("lines", &logs::lines(saved)))
        (scripts())
    };
    document(&record.case, &body)
}

/// What draws the charts and shows the logs, at the end of a body.
pub(super) fn scripts() -> Markup {
    html! { @for script in [VEGA, VEGA_LITE, SCRIPT] { script { (PreEscaped(script)) } } }
}

/// A whole document of this body.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// Data for the page's script; nothing in it can end the element it is in.
pub(super) fn data(id: &str, value: &Value) -> Markup {
    let text = value.to_string().replace('<', "\\u003c");
    html! { script type="application/json" id=(id) { (PreEscaped(text)) } }
}

/// The verdict in a word or two, and whose failure it is.
pub(super) fn badge(record: &Record) -> Markup {
    let (name, words) = match record.verdict {
        Verdict::Passed if record.failures.is_empty() => ("passed", "passed"),
        Verdict::Passed => ("passed", "failed as it should"),
        Verdict::Failed => ("failed", "failed"),
        Verdict::Running => ("running", "did not end"),
    };
    let class = record.class.filter(|_| record.verdict == Verdict::Failed);
    html! {
        strong .badge .(name) { (words) }
        @if let Some(class) = class { " " span .class { (class) } }
    }
}

fn verdict(record: &Record) -> Markup {
    let held: usize = record.drives.iter().map(|drive| drive.held.len()).sum();
    html! {
        p .verdict {
            (badge(record)) " "
            @match record.verdict {
                Verdict::Running => {
                    "It runs still, or was killed in its phase "
                    b { (record.phases.last().map_or_else(|| "none".to_owned(), |it| it.phase.to_string())) }
                    "; what follows was known by then."
                }
                Verdict::Passed if record.failures.is_empty() => { (held) " expectations held." }
                Verdict::Failed if record.failures.is_empty() => { "It passed, though it should fail." }
                Verdict::Passed | Verdict::Failed => {
                    (failures::headline(record).unwrap_or_else(|| record.subjects()))
                    @if record.failures.len() > 1 { ", and " (record.failures.len() - 1) " more" }
                }
            }
        }
    }
}

fn facts(record: &Record) -> Markup {
    let nodes: Vec<_> = record.nodes.iter().map(|(name, _)| name.as_str()).collect();
    let neighbours = record.neighbours.iter().flat_map(super::Neighbours::notes).collect::<Vec<_>>();
    let rows = [
        (
            "judged again",
            record.judges.as_ref().map(|run| format!("the run in {}", run.display())).unwrap_or_default(),
        ),
        ("began", record.started.clone()),
        ("backend", record.backend.clone()),
        ("nodes", nodes.join(", ")),
        ("their own settings", own_settings(&record.topology)),
        ("window", record.window.clone()),
        ("slot", format!("{} s", record.slot_seconds)),
        ("cluster", record.cluster.clone()),
        ("seed", record.seed.to_string()),
    ];
    html! {
        section #run {
            h2 { "The run" }
            dl .facts {
                @for (name, value) in rows { @if !value.is_empty() { dt { (name) } dd { (value) } } }
                @if !neighbours.is_empty() {
                    dt { "neighbours" } dd { @for note in &neighbours { (note) br; } }
                }
            }
            @if let Some(dashboards) = &record.grafana {
                p { a href=(dashboards) { "Dashboards of its cluster" } }
            }
            @if let Some(repeat) = &record.repeat {
                p { "This repeats it:" }
                pre .command tabindex="0" { (repeat) }
            }
        }
    }
}

/// What single nodes have of their own, a line each: what makes one differ is the first to be suspected.
fn own_settings(topology: &Value) -> String {
    let nodes = topology["nodes"].as_array().into_iter().flatten();
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([name, value]) => format!("{} = {}", scalar(name), scalar(value)),
        _ => scalar(pair),
    };
    let own = |node: &Value| {
        let is_own = |name: &str, value: &Value| {
            !["name", "role", "stake"].contains(&name) && !value.is_null() && *value != json!([])
        };
        let settings = node.as_object()?.iter().filter(|(name, value)| is_own(name, value));
        let settings = settings.map(|(name, value)| match value {
            Value::Array(pairs) => pairs.iter().map(pair).collect::<Vec<_>>().join(", "),
            value => format!("{name} = {}", scalar(value)),
        });
        let settings: Vec<_> = settings.collect();
        let name = scalar(&node["name"]);
        (!settings.is_empty()).then(|| format!("{name}: {}", settings.join(", ")))
    };
    nodes.filter_map(own).collect::<Vec<_>>().join("\n")
}

fn drawn(chart: &Chart) -> Markup {
    html! {
        section id=(format!("section-{}", chart.id)) {
            h2 { (chart.title) }
            p .about { (chart.about) }
            div .chart id=(format!("chart-{}", chart.id)) role="img" aria-label=(format!("{}. {}", chart.title, chart.about)) {}
            details {
                summary { "The same as a table" }
                (table(chart.title, chart.columns, &chart.rows))
            }
        }
    }
}

fn table(title: &str, columns: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div .scrolls tabindex="0" role="region" aria-label=(format!("{title}, as a table")) {
            table {
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody { @for row in rows.iter().take(ROWS) { tr { @for cell in row { td { (cell) } } } } }
            }
        }
        @if rows.len() > ROWS { p { "… and " (rows.len() - ROWS) " rows more" } }
    }
}

/// Counters of the workloads, and what workloads and expectations reported.
fn workloads(record: &Record) -> Markup {
    html! {
        @for (number, drive) in record.drives.iter().enumerate() {
            section {
                h2 {
                    "What was done and seen"
                    @if record.drives.len() > 1 { ", drive " (number + 1) }
                }
                @for (name, counters) in &drive.workloads {
                    p { b { (name) } ": " (counters.0.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")) }
                }
                @match &drive.saved {
                    Some(saved) => { p { "Held until satisfied, " (saved) " before the window's end: " (drive.held.join(", ")) } }
                    None => { p { "Held: " (drive.held.join(", ")) } }
                }
                @for (name, section) in &drive.sections {
                    details open { summary { (name) } (tree(section)) }
                }
            }
        }
    }
}

/// JSON as nested lists, percentiles as a line.
fn tree(value: &Value) -> Markup {
    if let Ok(of) = Percentiles::deserialize(value) {
        return html! { (of) " (of " (of.count) ")" };
    }
    html! {
        @match value {
            Value::Object(fields) => dl .facts {
                @for (name, value) in fields { dt { (name) } dd { (tree(value)) } }
            },
            Value::Array(values) => ul {
                @for value in values.iter().take(FEW) { li { (tree(value)) } }
                @if values.len() > FEW { li { "… and " (values.len() - FEW) " more" } }
            },
            other => (scalar(other)),
        }
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What was accepted and is in no block, with ids.
fn losses(what: &str, submissions: &[Submission]) -> Markup {
    let lost: Vec<_> = submissions.iter().filter(|it| it.blocks.is_empty()).collect();
    let row = |it: &&Submission| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            text(&it.id),
            it.state.clone(),
            text(&it.node),
            it.second.map(seconds).unwrap_or_default(),
            text(&it.error),
        ]
    };
    html! {
        @if !lost.is_empty() {
            section {
                h2 { (what) " in no block" }
                p { (lost.len()) " of " (submissions.len()) }
                (table(what, &["id", "state", "handed to", "second of the run", "error"], &lost.iter().take(LISTED).map(row).collect::<Vec<_>>()))
                @if lost.len() > LISTED { p { "… and " (lost.len() - LISTED) " more, see the file beside this one" } }
            }
        }
    }
}

fn phases(record: &Record) -> Markup {
    let row = |it: &super::PhaseTime| {
        vec![it.phase.to_string(), seconds(it.at), it.seconds.map_or_else(|| "not ended".to_owned(), seconds)]
    };
    html! {
        section {
            h2 { "Phases" }
            (table("Phases", &["phase", "began at second", "took seconds"], &record.phases.iter().map(row).collect::<Vec<_>>()))
        }
    }
}

fn configuration(record: &Record) -> Markup {
    html! {
        section #configuration {
            h2 { "Configuration and environment" }
            details { summary { "Topology" } (tree(&record.topology)) }
            details { summary { "Environment" } (tree(&json!(record.environment))) }
            @if !record.logs.is_empty() {
                details {
                    summary { "Files" }
                    ul { @for log in &record.logs { li { code { (log) } } } }
                }
            }
        }
    }
}
