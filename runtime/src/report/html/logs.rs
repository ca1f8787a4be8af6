//! The logs of all nodes on a page, and between their lines what the framework did and saw.

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::deployer::{NodeState, NodeStatus};
use crate::report::log::Level;
use crate::report::saved::{Saved, SavedEvent, What};

/// What the framework's own lines are called among those of the nodes.
const THE_RUN: &str = "(the run)";

/// Where they are shown, and how they are chosen.
pub(super) fn form(saved: &Saved) -> Markup {
    let nodes = saved.record.logs.iter().zip(&saved.record.nodes).map(|(_, (name, _))| name.as_str());
    let names = nodes.chain([THE_RUN]);
    html! {
        section #logs {
            h2 { "Logs of all nodes" }
            @if saved.log.lines.is_empty() && saved.events.is_empty() {
                p { "There are none." }
            } @else {
                form #log-filter {
                    label { "Search " input #log-search type="search" placeholder="text or /regex/" autocomplete="off"; }
                    label {
                        "At least "
                        select #log-level {
                            option value="0" { "error" } option value="1" { "warn" } option value="2" { "info" }
                            option value="3" { "debug" } option value="4" selected { "all" }
                        }
                    }
                    fieldset {
                        legend { "Nodes" }
                        @for (place, name) in names.enumerate() {
                            label { input type="checkbox" name="node" value=(place) checked; " " (name) }
                        }
                    }
                    label { input #log-run type="checkbox"; " only this run's time" }
                    button #log-error type="button" { "First error" }
                }
                p #log-count role="status" {}
                ol #log-lines tabindex="0" aria-label="log lines" {}
                button #log-more type="button" hidden { "Show more" }
                noscript { "The lines are shown by a script; the files are beside this one." }
            }
        }
    }
}

/// What the page's script shows of the logs, and what the framework did and saw between their lines.
pub(super) fn lines(saved: &Saved) -> Value {
    let nodes = saved.record.logs.iter().zip(&saved.record.nodes).map(|(_, (name, _))| name.as_str());
    let nodes: Vec<_> = nodes.chain([THE_RUN]).collect();
    let mut events = saved.events.iter().filter_map(|event| told(event, nodes.len() - 1)).peekable();
    let mut lines = Vec::new();
    for line in &saved.log.lines {
        while let Some(event) = events.next_if(|event| line.second.is_some_and(|second| event.0 <= second)) {
            lines.push(json!(event));
        }
        let second = line.second.map(|second| (second * 1_000.0).round() / 1_000.0);
        lines.push(json!([second, line.node, line.level as u8, line.text]));
    }
    lines.extend(events.map(|event| json!(event)));
    json!({ "nodes": nodes, "lines": lines })
}

/// An event among lines of logs, where it is worth one.
fn told(event: &SavedEvent, place: usize) -> Option<(f64, usize, u8, String)> {
    let (level, text) = match &event.what {
        What::Phase { phase } => (Level::Info, format!("the phase {phase} begins")),
        What::Reorg { depth } => (Level::Info, format!("the best chain is another, of depth {depth}")),
        What::Silent { node, error } => (Level::Warn, format!("{node} does not answer: {error}")),
        What::Node(NodeState { name, status: status @ NodeStatus::Exited(_), .. }) => {
            (Level::Error, format!("{name} {status}"))
        }
        What::Node(NodeState { name, status, .. }) => (Level::Info, format!("{name} is {status}")),
        What::Broken { how } => (Level::Error, how.clone()),
        What::Fault { node, action } => (Level::Warn, format!("{node} is told to {action}")),
        What::Network { applied, healed } => {
            let applied = applied.iter().map(|fault| format!("{fault} begins"));
            let all: Vec<_> = applied.chain(healed.iter().map(|fault| format!("{fault} is over"))).collect();
            (Level::Warn, all.join(", "))
        }
        _ => return None,
    };
    Some((event.second, place, level as u8, text))
}
