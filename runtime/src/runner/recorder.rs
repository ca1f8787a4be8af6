//! Writes down what a run is made of and what happens to its chain and nodes, for its report.

use std::sync::Arc;

use serde_json::json;

use crate::deployer::DynCluster;
use crate::feed::{Event, Subscription};
use crate::plan::Plan;
use crate::report::Journal;
use crate::scenario::Scenario;

pub(super) fn describe(journal: &Journal, scenario: &Scenario, plan: &Plan, backend: &str) {
    journal.describe(|record| {
        backend.clone_into(&mut record.backend);
        record.cluster = plan.key.to_string();
        record.seed = scenario.seed;
        record.nodes = plan.nodes.iter().map(|node| (node.name.clone(), node.role)).collect();
        record.slot_seconds = scenario.topology.consensus().slot.as_secs_f64();
        record.window = scenario.window.to_string();
    });
}

/// A line for each block, reorganisation and finalised block.
pub(super) async fn record_chain(journal: Arc<Journal>, mut events: Subscription) {
    loop {
        match events.next().await {
            Event::Block(block) => journal.event(
                "block",
                &json!({
                    "id": block.id,
                    "parent": block.parent,
                    "slot": block.slot,
                    "height": block.height,
                    "proposer": block.proposer,
                    "transactions": block.transactions.len(),
                    "node": &*block.seen_at,
                }),
            ),
            Event::Reorg { from, to, depth } => {
                journal.event("reorg", &json!({ "from": from, "to": to, "depth": depth }));
            }
            Event::Finalized { id } => journal.event("finalized", &json!({ "id": id })),
            Event::Lagged { missed } => journal.event("lagged", &json!({ "missed": missed })),
        }
    }
}

/// A line whenever a node starts, stops or ends.
pub(super) async fn record_nodes(journal: Arc<Journal>, cluster: Arc<dyn DynCluster>) {
    let mut known = Vec::new();
    let mut version = 0;
    while let Ok(states) = cluster.states(version).await {
        version = states.version;
        for node in states.nodes.iter().filter(|node| !known.contains(*node)) {
            journal.event("node", node);
        }
        known = states.nodes;
    }
}
