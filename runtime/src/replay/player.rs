//! Tells what happened in a run, when its time comes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::Recording;
use crate::deployer::{NodeState, States};
use crate::faults::{Disturbed, Disturbing};
use crate::feed::{Block, BlockFeed};
use crate::node::{ConsensusInfo, HeaderId, Message, TransactionId};
use crate::report::{SavedBlock, Submission, What};
use crate::wait::pause_until;
use crate::workload::recalled_messages;

pub(super) async fn play(recording: &Recording, feed: &BlockFeed, disturbing: &Disturbing) {
    let held = transactions(&recording.saved.transactions);
    let messages = recalled_messages(recording);
    for event in &recording.saved.events {
        pause_until(recording.at(event.second)).await;
        match &event.what {
            What::Phase { phase } => recording.phases.send_modify(|phases| phases.push(*phase)),
            What::Ancestor(block) | What::Block(block) => tell_block(feed, block, &held, &messages),
            What::Tip { node, height, id, slot, lib } => {
                if let (Some(tip), Some(lib)) = (parsed(id), lib.as_deref().and_then(parsed)) {
                    let (height, slot, mode) = (*height, *slot, "Online".to_owned());
                    feed.tell_tip(node, ConsensusInfo { lib, tip, slot, height, mode });
                }
            }
            What::Silent { node, error } => feed.tell_silent(node, error.clone()),
            What::Node(state) => recording.states.send_modify(|states| note(states, state)),
            What::Broken { how } => recording.states.send_modify(|states| {
                states.version += 1;
                states.broken = Some(how.clone());
            }),
            What::Network { applied, healed } => disturbing.replay(|Disturbed(active)| {
                active.retain(|fault| !healed.contains(fault));
                active.extend(applied.clone());
            }),
            What::Reorg { .. }
            | What::Finalized { .. }
            | What::Fault { .. }
            | What::Disturbance { .. }
            | What::Back { .. }
            | What::Workload { .. }
            | What::Other => {}
        }
    }
}

/// The transactions of the run in each block.
fn transactions(submissions: &[Submission]) -> HashMap<&str, Vec<TransactionId>> {
    let mut held = HashMap::<_, Vec<_>>::new();
    for submission in submissions {
        let id = submission.id.as_deref().and_then(bytes).map(TransactionId);
        // It may have been seen in one block twice.
        let blocks: HashSet<_> = submission.blocks.iter().map(|block| block.id.as_str()).collect();
        for block in blocks {
            held.entry(block).or_default().extend(id);
        }
    }
    held
}

fn tell_block(
    feed: &BlockFeed,
    block: &SavedBlock,
    held: &HashMap<&str, Vec<TransactionId>>,
    messages: &HashMap<HeaderId, Vec<Message>>,
) {
    let (Some(id), Some(parent)) = (parsed(&block.id), block.parent.as_deref().and_then(parsed)) else {
        return;
    };
    feed.tell_block(Block {
        id,
        parent,
        slot: block.slot,
        height: block.height,
        proposer: block.proposer.clone(),
        transactions: held.get(block.id.as_str()).cloned().unwrap_or_default(),
        messages: messages.get(&id).cloned().unwrap_or_default(),
        first_seen: Instant::now(),
        seen_at: Arc::from(block.node.as_str()),
    });
}

fn note(states: &mut States, state: &NodeState) {
    states.version += 1;
    match states.nodes.iter_mut().find(|known| known.name == state.name) {
        Some(known) => known.clone_from(state),
        None => states.nodes.push(state.clone()),
    }
}

fn parsed(id: &str) -> Option<HeaderId> {
    bytes(id).map(HeaderId)
}

fn bytes(id: &str) -> Option<[u8; 32]> {
    hex::decode(id).ok()?.try_into().ok()
}
