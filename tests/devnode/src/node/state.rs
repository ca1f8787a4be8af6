//! What a node knows, and what it decides when a slot begins or something arrives.

mod transactions;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use super::data::Data;
use super::faults::Faults;
use super::metrics::Counters;
use super::network::Later;
use super::orphans::Orphans;
use super::protocol::Address;
use super::storage::{Storage, Stored};
use super::streams::Streams;
use super::telemetry::Spans;
use crate::chain::{Added, Applied, Chain, Invalid, Refused};
use crate::config::Settings;
use crate::keys::SecretKey;
use crate::mempool::Mempool;
use crate::recent::Recent;
use crate::wire::{Block, HeaderId, SignedTransaction};

/// How long a node that was started late waits for peers before it leads on its own.
const ALONE: Duration = Duration::from_secs(3);

const MAX_REFUSED: usize = 10_000;

/// The state, shared by network and HTTP. The lock is never held across an `await`.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

/// A gossiped message and the peer it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) message: MessageId,
    pub(super) peer: PeerId,
}

/// What the gossip may do with messages that were undecided until now.
pub(super) type Verdicts = Vec<(Origin, MessageAcceptance)>;

/// Whether the node leads already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Mode {
    Bootstrapping,
    Online,
}

/// What `/network/info` answers.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct NetworkInfo {
    pub(super) listen_addresses: Vec<String>,
    pub(super) n_peers: usize,
    pub(super) n_connections: u32,
    pub(super) n_pending_connections: u32,
}

pub(super) struct State {
    pub(super) chain: Chain,
    pub(super) mempool: Mempool<Option<Origin>>,
    pub(super) mode: Mode,
    pub(super) network: NetworkInfo,
    pub(super) streams: Streams,
    /// When the last transaction became pending, in milliseconds.
    pub(super) last_item: u64,
    /// The last irreversible block, with its height, whose finality survives `kill -9`.
    pub(super) lib: (u64, HeaderId),
    pub(super) counters: Counters,
    pub(super) data: Data,
    /// Where peers were in earlier runs.
    pub(super) learnt: Vec<Address>,
    pub(super) spans: Spans,
    started: Instant,
    leader_keys: Vec<SecretKey>,
    faults: Faults,
    storage: Storage,
    /// Final blocks with their heights, each behind how much must be stored before it is told.
    untold: VecDeque<(u64, (u64, HeaderId))>,
    /// The last slot that this node took for a block.
    taken: u64,
    /// How much must be stored before the block of the taken slot is made.
    making: Option<u64>,
    orphans: Orphans,
    later: UnboundedSender<Later>,
    /// Blocks of branches that fork off below the LIB.
    refused: Recent<HeaderId>,
}

/// What became of a received block and of those that waited for it.
#[derive(Default)]
pub(super) struct Received {
    pub(super) verdicts: Verdicts,
    /// A block to fetch with all before it.
    pub(super) missing: Option<HeaderId>,
    /// Whether the block is in the tree.
    pub(super) is_known: bool,
}

/// What may happen now that more is stored.
#[derive(Default)]
pub(super) struct Released {
    /// Blocks of this node to be sent.
    pub(super) made: Vec<Arc<Block>>,
    pub(super) verdicts: Verdicts,
}

impl Shared {
    /// The state that the storage of a node leads to.
    pub(super) fn load(
        settings: &Settings,
        later: UnboundedSender<Later>,
        spans: Spans,
    ) -> Result<Self, String> {
        let mut chain = Chain::new(settings);
        let (storage, mut stored) = match &settings.storage {
            None => (Storage::none(later.clone()), Stored::default()),
            Some(directory) => Storage::open(directory, chain.genesis(), later.clone())?,
        };
        let data = Data::open(settings, chain.genesis(), later.clone())?;
        for block in stored.blocks.drain(..) {
            let id = block.id();
            match chain.restore(block) {
                // Data counts as found now that was not found then: the chain may be ahead of where it was.
                Ok(_) | Err(Refused::BelowLib) => {}
                Err(refused) => return Err(format!("storage: block {id} is refused: {refused}")),
            }
        }
        data.reached(chain.height());
        let state = State {
            mempool: Mempool::new(chain.ledger().clone()),
            lib: (chain.lib_height(), chain.lib()),
            chain,
            mode: Mode::Bootstrapping,
            network: NetworkInfo::default(),
            streams: Streams::default(),
            last_item: 0,
            counters: Counters::default(),
            data,
            learnt: stored.learnt,
            spans,
            started: Instant::now(),
            leader_keys: settings.leader_keys.clone(),
            faults: Faults::new(settings.faults.clone()),
            storage,
            untold: VecDeque::new(),
            taken: stored.taken,
            making: None,
            orphans: Orphans::default(),
            later,
            refused: Recent::new(MAX_REFUSED),
        };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a panic anywhere ends the process")
    }
}

impl State {
    /// A slot begins: where this node wins it, it makes a block once it is stored that the slot is taken.
    pub(super) fn begin_slot(&mut self, slot: u64) {
        self.sample_again();
        if self.mode == Mode::Bootstrapping {
            let alone = self.network.n_peers == 0 && self.started.elapsed() >= ALONE;
            if slot > 2 && !alone {
                return;
            }
            self.go_online();
        }
        if self.making.is_some() || slot <= self.taken || self.faults.is_stopped(self.chain.height()) {
            return;
        }
        if self.make(slot).is_empty() || self.faults.leaves_out(slot) {
            return;
        }
        self.taken = slot;
        self.storage.take(slot);
        self.making = Some(self.storage.saved());
    }

    /// The block that this node makes in a slot that it wins, or two where that is its fault.
    fn make(&self, slot: u64) -> Vec<Arc<Block>> {
        let may_be_taken = |transaction: &SignedTransaction| self.data.may_be_taken(transaction);
        let transactions = self.mempool.select(self.chain.ledger(), may_be_taken);
        let made = self.leader_keys.iter().find_map(|key| {
            let block = self.chain.make(key, slot, transactions.clone())?;
            let parent = self.chain.block(&self.chain.tip()).filter(|_| self.faults.equivocates());
            let second =
                parent.and_then(|tip| self.chain.make_on(tip.header.parent_block, key, slot, Vec::new()));
            if second.is_some() {
                warn!(slot, "fault equivocate: making a second block");
            }
            Some(std::iter::once(block).chain(second).map(Arc::new).collect())
        });
        made.unwrap_or_default()
    }

    /// So much is stored of what was saved.
    pub(super) fn stored(&mut self, count: u64) -> Released {
        let mut released = Released::default();
        if self.making.take_if(|after| *after <= count).is_some() {
            for block in self.make(self.taken) {
                match self.chain.add(block.clone(), self.taken) {
                    Ok(Added::Applied(applied)) => {
                        self.counters.blocks_made += 1;
                        self.storage.save(&block);
                        released.verdicts.extend(self.applied("made", &block, &applied));
                        released.made.push(block);
                    }
                    // A second block beside a tip that the first made final.
                    Err(Refused::BelowLib) => {}
                    other => panic!("the block {} that this node made is refused: {other:?}", block.id()),
                }
            }
        }
        let told = self.untold.partition_point(|(after, _)| *after <= count);
        for (_, lib) in self.untold.drain(..told) {
            self.lib = lib;
            self.streams.finalized(lib);
        }
        released
    }

    /// Stores where peers are.
    pub(super) fn remember(&mut self, learnt: Vec<Address>) {
        learnt.into_iter().for_each(|address| self.storage.remember(address));
    }

    /// How many blocks wait for their parent.
    pub(super) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Waits until all is stored.
    pub(super) fn close(&mut self) {
        self.storage.close();
        self.data.close();
    }

    /// Looks again for data that was not available.
    fn sample_again(&self) {
        self.mempool.pending().iter().for_each(|transaction| self.data.sample(transaction));
        self.chain.unsampled().for_each(|block| self.data.sample_block(block));
    }

    /// More data is available: blocks that waited for it may be followed.
    pub(super) fn sampled(&mut self) -> Verdicts {
        let found = self.chain.unsampled().filter(|block| self.data.has_found(block));
        let found: Vec<_> = found.map(|block| block.id()).collect();
        let mut verdicts = Verdicts::new();
        for id in found {
            let applied = self.chain.sampled(&id);
            verdicts.extend(self.followed(&applied));
        }
        verdicts
    }

    /// All that the peers have is here.
    pub(super) fn go_online(&mut self) {
        if self.mode == Mode::Bootstrapping {
            self.mode = Mode::Online;
            info!(height = self.chain.height(), "online");
            self.mend();
        }
    }

    /// Looks for the data of blocks that were stored, and it not any more.
    fn mend(&self) {
        let chain = &self.chain;
        let kept = usize::try_from(self.data.retention()).unwrap_or(usize::MAX);
        let recent = chain.headers(chain.tip(), chain.genesis(), kept);
        recent.iter().filter_map(|id| chain.block(id)).for_each(|block| self.data.mend(block));
    }

    /// A block arrived. `latest` is the newest slot it may have.
    pub(super) fn receive_block(
        &mut self,
        block: Arc<Block>,
        origin: Option<Origin>,
        latest: u64,
    ) -> Received {
        let mut received = Received::default();
        if self.faults.ignores_peers(self.chain.height()) {
            let ignored = origin.map(|origin| (origin, MessageAcceptance::Ignore));
            return Received { verdicts: ignored.into_iter().collect(), ..received };
        }
        let first = block.id();
        let mut work = VecDeque::from([(block, origin)]);
        while let Some((block, origin)) = work.pop_front() {
            let id = block.id();
            let verdict = match self.judge(&block, &id, latest) {
                Ok(Added::Orphan) => {
                    received.missing = Some(block.header.parent_block);
                    self.orphans.insert(block, origin);
                    continue;
                }
                Ok(Added::Known) => MessageAcceptance::Accept,
                Ok(Added::Applied(applied)) => {
                    self.counters.blocks_applied += 1;
                    self.counters.blocks_fetched += u64::from(origin.is_none());
                    self.storage.save(&block);
                    received.verdicts.extend(self.applied("applied", &block, &applied));
                    MessageAcceptance::Accept
                }
                Err(Refused::BelowLib | Refused::Invalid(Invalid::Future { .. })) => {
                    MessageAcceptance::Ignore
                }
                Err(Refused::Invalid(_)) => MessageAcceptance::Reject,
            };
            if self.chain.contains(&id) || self.refused.contains(&id) {
                work.extend(self.orphans.take(&id));
            }
            received.verdicts.extend(origin.map(|origin| (origin, verdict)));
        }
        received.is_known = self.chain.contains(&first);
        received
    }

    fn judge(&mut self, block: &Arc<Block>, id: &HeaderId, latest: u64) -> Result<Added, Refused> {
        let Block { header, .. } = &**block;
        if self.refused.contains(id) || self.refused.contains(&header.parent_block) {
            self.refused.insert(*id);
            return Err(Refused::BelowLib);
        }
        let added = if self.data.has_found(block) {
            self.chain.add(block.clone(), latest)
        } else {
            self.chain.add_unsampled(block.clone(), latest)
        };
        self.counters.blocks_refused += u64::from(added.is_err());
        match &added {
            Err(Refused::BelowLib) => {
                warn!(
                    block = %id.short(), slot = header.slot, lib = %self.chain.lib().short(),
                    "refusing a reorganisation below the last irreversible block: staying on this node's chain"
                );
                self.refused.insert(*id);
            }
            Err(Refused::Invalid(rule)) => warn!(block = %id.short(), "refused a block: {rule}"),
            Ok(_) => {}
        }
        added
    }

    /// Everything that follows from a block in the tree.
    fn applied(&mut self, how: &str, block: &Arc<Block>, applied: &Applied) -> Verdicts {
        let (id, header) = (block.id(), &block.header);
        info!(
            block = %id.short(), height = applied.height, slot = header.slot,
            leader = %header.proof_of_leadership.leader_key.short(), transactions = block.transactions.len(),
            tip = applied.is_tip, "{how} a block"
        );
        if let Some(other) = applied.equivocation {
            self.counters.equivocations += 1;
            warn!(
                leader = %header.proof_of_leadership.leader_key, slot = header.slot, one = %other, other = %id,
                "equivocation: a leader made two blocks in one slot"
            );
        }
        self.spans.block(how, block, applied);
        self.streams.applied(block);
        self.data.sample_block(block);
        self.followed(applied)
    }

    /// Everything that follows from another tip, where there is one.
    fn followed(&mut self, applied: &Applied) -> Verdicts {
        if !applied.abandoned.is_empty() {
            self.counters.reorganisations += 1;
            let tip = self.chain.tip();
            info!(
                depth = applied.abandoned.len(), adopted = applied.adopted.len(), tip = %tip.short(), "reorganised"
            );
        }
        self.untold.extend(applied.finalized.iter().map(|lib| (self.storage.saved(), *lib)));
        if !applied.is_tip {
            return Verdicts::new();
        }
        self.data.reached(self.chain.height());
        for block in &applied.adopted {
            self.data.included(block);
            self.counters.transactions_included += block.transactions.len() as u64;
            let blobs = block.transactions.iter().map(|transaction| transaction.blobs().count());
            self.counters.blobs_included += blobs.sum::<usize>() as u64;
        }
        applied.finalized.iter().for_each(|(height, _)| self.data.finalized(*height));
        self.faults.reached(self.chain.height());
        let passed = self.mempool.rebase(self.chain.ledger(), applied);
        self.tell_abandoned(applied);
        let accept = |origin| (origin, MessageAcceptance::Accept);
        passed.into_iter().filter_map(|(_, origin)| origin).map(accept).collect()
    }

    /// Has peers told of the transactions of abandoned blocks that are pending again.
    fn tell_abandoned(&self, applied: &Applied) {
        for block in &applied.abandoned {
            let is_pending = |transaction: &&SignedTransaction| self.mempool.contains(&transaction.id());
            let again: Vec<_> = block.transactions.iter().filter(is_pending).cloned().map(Arc::new).collect();
            if !again.is_empty() {
                // An error says that the node ends.
                drop(self.later.send(Later::Abandoned(again)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
