//! Data availability: what a node keeps for others, and how it gets at what they keep.
//!
//! 1. An executor codes a blob and says so in the gossip (an *offer*). Each member fetches its own share from it,
//!    checks it against the blob's id, stores it, and says so, signed ([`dispersal`]). When so many have that the
//!    blob can be restored, the executor publishes the blob's transaction; for more than half of the members it
//!    waits a while.
//! 2. Before a node takes a blob into a block, or follows a block that has one, it *samples*: it fetches shares
//!    of other members until it has seen as many as restore the blob ([`sampling`]).
//!    A member that missed its share restores it once it follows the block ([`mending`]).
//! 3. Who reads a blob gets the shares of the node it asks, and those that this node gets from others ([`http`]).
//!
//! 4. A share goes when the last irreversible block is `data.retention` blocks above the tip that there was when the
//!    share was stored, or when its blob was last included ([`store`]).
//!
//! Shares are fetched from who keeps them where that node is connected, else through peers ([`search`]); nobody
//! is dialled for them, so that links that are cut stay cut.

mod dispersal;
mod http;
mod link;
mod members;
mod mending;
mod messages;
mod sampling;
mod search;
mod stats;
mod store;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use super::network::Later;
use crate::config::{Faults, Settings};
use crate::data::Share;
use crate::keys::SecretKey;
use crate::recent::Recent;
use crate::wire::{BlobId, Block, HeaderId, SignedTransaction};
use dispersal::Acknowledgements;
use members::Members;
use mending::Missed;
use stats::Stats;
use store::Store;

pub(super) use http::{routes, slow_routes, testing_routes};
pub(super) use link::{Link, Order};
pub(super) use messages::{Found, Query};

/// What is remembered of the past: blobs that were found available, and searches that were answered.
const REMEMBERED: usize = 10_000;
/// Every so many blocks it is seen what shares go.
const PRUNE_EVERY: u64 = 8;
/// The most bytes of blobs that an executor has at hand for members that are late, besides the last blob.
const MAX_STAGED: usize = 4 * 1024 * 1024;

/// A node's part in keeping data available. Clones are one and the same.
#[derive(Clone)]
pub(super) struct Data(Arc<Parts>);

struct Parts {
    members: Members,
    key: SecretKey,
    faults: Faults,
    retention: u64,
    give_up: Duration,
    store: Store,
    later: UnboundedSender<Later>,
    known: Mutex<Known>,
}

/// What changes. The lock is never held across an `await`.
struct Known {
    stats: Stats,
    /// The shares of what this executor dispersed of late.
    staged: VecDeque<(BlobId, Vec<Share>)>,
    acknowledgements: Acknowledgements,
    /// Searches that this node took part in.
    searches: Recent<u64>,
    /// Blobs of that id and size that were found available.
    available: Recent<(BlobId, u64)>,
    /// Those that are looked for just now.
    sampling: HashSet<(BlobId, u64)>,
    missed: Missed,
    /// Height of the tip.
    height: u64,
}

impl Data {
    /// The part of a node that `settings` describe, and what it has stored.
    pub(super) fn open(
        settings: &Settings,
        genesis: HeaderId,
        later: UnboundedSender<Later>,
    ) -> Result<Self, String> {
        let store = match &settings.storage {
            None => Store::in_memory(),
            Some(directory) => Store::open(directory, genesis)?,
        };
        let known = Known {
            stats: Stats::default(),
            staged: VecDeque::new(),
            acknowledgements: Acknowledgements::default(),
            searches: Recent::new(REMEMBERED),
            available: Recent::new(REMEMBERED),
            sampling: HashSet::new(),
            missed: Missed::default(),
            height: 0,
        };
        Ok(Self(Arc::new(Parts {
            members: Members::new(settings)?,
            key: settings.node_key.clone(),
            faults: settings.faults.clone(),
            retention: settings.retention,
            give_up: settings.give_up,
            store,
            later,
            known: Mutex::new(known),
        })))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().expect("a panic anywhere ends the process")
    }

    fn order(&self, order: Order) {
        // An error says that the node ends.
        drop(self.0.later.send(Later::Data(order)));
    }

    pub(super) fn connected(&self, peer: PeerId, is_dialled: bool) {
        self.known().stats.connected(peer, is_dialled);
    }

    pub(super) fn disconnected(&self, peer: &PeerId) {
        self.known().stats.disconnected(peer);
    }

    /// Whether a block may have this transaction, as far as its blobs are concerned.
    pub(super) fn may_be_taken(&self, transaction: &SignedTransaction) -> bool {
        let known = self.known();
        transaction.blobs().all(|blob| {
            !self.0.faults.refuse_sampling && known.available.contains(&(blob.blob, blob.blob_size))
        })
    }

    /// Whether all data that a block tells of was found available.
    pub(super) fn has_found(&self, block: &Block) -> bool {
        let known = self.known();
        let mut blobs = block.transactions.iter().flat_map(SignedTransaction::blobs);
        blobs.all(|blob| known.available.contains(&(blob.blob, blob.blob_size)))
    }

    /// The chain has this height now.
    pub(super) fn reached(&self, height: u64) {
        self.known().height = height;
    }

    /// Blocks up to this height are irreversible: what is older than is kept goes.
    pub(super) fn finalized(&self, lib: u64) {
        if lib.is_multiple_of(PRUNE_EVERY) && lib > self.0.retention {
            self.0.store.prune(lib - self.0.retention);
        }
    }

    /// How many blocks' data is kept, besides those that are not irreversible.
    pub(super) fn retention(&self) -> u64 {
        self.0.retention
    }

    /// Returns when the share is stored.
    async fn save(&self, blob: BlobId, share: Share) {
        let height = self.known().height;
        self.0.store.save(blob, share, height).await;
    }

    /// Blobs of these transactions are in a block of the followed chain.
    pub(super) fn included(&self, block: &Block) {
        self.mend(block);
        let height = self.known().height;
        for blob in block.transactions.iter().flat_map(SignedTransaction::blobs) {
            info!(blob = %blob.blob, channel = %blob.channel, "a blob is in block {}", block.id().short());
            self.0.store.keep(blob.blob, height);
            if self.0.faults.lose_blobs {
                warn!(blob = %blob.blob, "fault lose_blobs: forgot the shares of a blob");
                self.0.store.forget(blob.blob);
                self.known().staged.retain(|(staged, _)| *staged != blob.blob);
            }
        }
    }

    /// Waits until all is stored.
    pub(super) fn close(&self) {
        self.0.store.close();
    }
}
