//! Writes down what a run is made of and what happens to its chain and nodes, for its report.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::deployer::{DynCluster, States};
use crate::feed::{Block, BlockFeed, Event, NodeView};
use crate::node::ConsensusInfo;
use crate::plan::ClusterKey;
use crate::report::Journal;
use crate::scenario::Scenario;

pub(super) fn describe(journal: &Journal, scenario: &Scenario, key: &ClusterKey, backend: &str) {
    journal.describe(|record| {
        backend.clone_into(&mut record.backend);
        record.cluster = key.to_string();
        record.seed = scenario.seed;
        record.nodes = scenario.topology.nodes().iter().map(|node| (node.name.clone(), node.role)).collect();
        record.slot_seconds = scenario.topology.consensus().slot.as_secs_f64();
        record.window = scenario.window.to_string();
        record.topology = serde_json::to_value(&scenario.topology).expect("a topology is plain data");
    });
}

/// Writes down what happens from now on, until the tasks are ended.
pub(super) fn record(journal: &Arc<Journal>, feed: &BlockFeed, cluster: &Arc<dyn DynCluster>) -> JoinSet<()> {
    let mut recorder = JoinSet::new();
    recorder.spawn(record_chain(Arc::clone(journal), feed.clone()));
    recorder.spawn(record_tips(Arc::clone(journal), feed.clone()));
    recorder.spawn(record_nodes(Arc::clone(journal), Arc::clone(cluster)));
    recorder
}

/// A line for each block, reorganisation and finalised block; before them those of the blocks that the chains had
/// already, down to the lowest that is irreversible.
async fn record_chain(journal: Arc<Journal>, feed: BlockFeed) {
    let mut events = feed.replay();
    let before: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let is_new =
        |block: &Block| before.iter().any(|it| matches!(it, Event::Block(new) if new.id == block.id));
    for ancestor in ancestors(&feed).iter().filter(|block| !is_new(block)) {
        journal.event("ancestor", &described(ancestor));
    }
    before.iter().for_each(|event| record_event(&journal, event));
    loop {
        record_event(&journal, &events.next().await);
    }
}

/// The blocks of all nodes' chains that may still be abandoned, and those on which they rest, parents first.
fn ancestors(feed: &BlockFeed) -> Vec<Arc<Block>> {
    let infos: Vec<_> = feed.nodes().into_iter().filter_map(|node| node.info).collect();
    let final_height = |info: &ConsensusInfo| feed.block(info.lib).map_or(0, |block| block.height);
    let lowest = infos.iter().map(final_height).min().unwrap_or(0);
    let above = |info: &ConsensusInfo| {
        feed.chain(info.tip).into_iter().take_while(|block| block.height >= lowest).collect::<Vec<_>>()
    };
    let mut blocks: Vec<_> = infos.iter().flat_map(above).collect();
    blocks.sort_by_key(|block| (block.height, block.id));
    blocks.dedup_by_key(|block| block.id);
    blocks
}

fn described(block: &Block) -> Value {
    json!({
        "id": block.id,
        "parent": block.parent,
        "slot": block.slot,
        "height": block.height,
        "proposer": block.proposer,
        "transactions": block.transactions.len(),
        "node": &*block.seen_at,
    })
}

fn record_event(journal: &Journal, event: &Event) {
    match event {
        Event::Block(block) => journal.event("block", &described(block)),
        Event::Reorg { from, to, depth } => {
            journal.event("reorg", &json!({ "from": from, "to": to, "depth": depth }));
        }
        Event::Finalized { id } => journal.event("finalized", &json!({ "id": id })),
        Event::Lagged { missed } => journal.event("lagged", &json!({ "missed": missed })),
    }
}

/// A line whenever the tip of a node's chain changes, it answers no more, or again.
async fn record_tips(journal: Arc<Journal>, feed: BlockFeed) {
    let mut changes = feed.changes();
    let mut known = HashMap::new();
    loop {
        for NodeView { name, info, error, .. } in feed.nodes() {
            let said = (info.as_ref().map(|info| (info.tip, info.lib)), error.is_some());
            if known.insert(Arc::clone(&name), said) == Some(said) {
                continue;
            }
            match (info, error) {
                (_, Some(error)) => journal.event("silent", &json!({ "node": &*name, "error": error })),
                (Some(ConsensusInfo { lib, tip, slot, height, .. }), None) => journal.event(
                    "tip",
                    &json!({ "node": &*name, "height": height, "id": tip, "slot": slot, "lib": lib }),
                ),
                (None, None) => {}
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// A line whenever a node starts, stops or ends, and when the cluster has lost more than nodes.
async fn record_nodes(journal: Arc<Journal>, cluster: Arc<dyn DynCluster>) {
    let mut known = States::default();
    while let Ok(states) = cluster.states(known.version).await {
        for node in states.nodes.iter().filter(|node| !known.nodes.contains(*node)) {
            journal.event("node", node);
        }
        if let Some(how) = states.broken.as_ref().filter(|_| known.broken.is_none()) {
            journal.event("broken", &json!({ "how": how }));
        }
        known = states;
    }
}
