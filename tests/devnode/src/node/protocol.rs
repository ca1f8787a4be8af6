//! What nodes ask one another, beside the gossip: what they missed, and where others are.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::wire::{Block, HeaderId, PublicKey, SignedTransaction};

/// The most blocks of one answer, and the most bytes of their transactions together.
const MAX_BLOCKS: usize = 64;
const MAX_WEIGHT: usize = 1024 * 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Question {
    Missed(Missed),
    /// Where others are. Tells where the asking node itself is.
    Peers(Address),
    /// Nothing: tells of transactions of a block that the asking node abandoned. Whoever was cut off from it has
    /// never heard of them.
    Abandoned(Vec<Arc<SignedTransaction>>),
}

/// What leads from the newest block of `locator` that the other node has to `target`, or to its tip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Missed {
    pub(super) locator: Vec<HeaderId>,
    pub(super) target: Option<HeaderId>,
    /// Whether pending transactions are asked for, too.
    pub(super) pending: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Missed(Found),
    Peers(Vec<Address>),
    Heard,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Found {
    /// Lowest first.
    pub(super) blocks: Vec<Arc<Block>>,
    /// Whether there are more.
    pub(super) more: bool,
    pub(super) pending: Vec<Arc<SignedTransaction>>,
}

/// Where a node listens, and whose key it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) public_key: PublicKey,
    pub(super) address: SocketAddr,
}

/// The answer to [`Missed`].
pub(super) fn find(state: &State, missed: &Missed) -> Found {
    let path = state.chain.path(&missed.locator, missed.target, MAX_BLOCKS + 1);
    let mut weight = 0;
    let mut blocks = Vec::new();
    for block in path.iter().filter_map(|id| state.chain.block(id)).take(MAX_BLOCKS) {
        weight += block.transactions.iter().map(SignedTransaction::weight).sum::<usize>();
        if weight > MAX_WEIGHT && !blocks.is_empty() {
            break;
        }
        blocks.push(block.clone());
    }
    let more = blocks.len() < path.len();
    let mut weight = 0;
    let fits = |transaction: &&Arc<SignedTransaction>| {
        weight += transaction.weight();
        weight <= MAX_WEIGHT
    };
    let pending = state.mempool.pending().iter().filter(|_| missed.pending && !more);
    Found { blocks, more, pending: pending.take_while(fits).cloned().collect() }
}
