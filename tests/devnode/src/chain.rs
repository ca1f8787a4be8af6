//! The block tree: which blocks are valid, which chain is followed, what is final. No clock, no network, no disk.
//!
//! - The longest chain is followed. Of several that are equally long it is the one whose tip has the least id, on
//!   every node, whatever came first.
//! - A block `k` blocks below the tip is final: the *LIB*. What forks off below it is refused, however long it is.
//! - A block is judged in full before it is added: signature, lottery, slot, root and every transaction.
//! - A block that tells of data is not followed before the data is known to be available, unless so many others
//!   were built on it that the network must have found it so: data of old blocks need not be there any more.

mod choice;
mod lottery;
mod verify;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::Settings;
use crate::keys::SecretKey;
use crate::ledger::Ledger;
use crate::wire::{
    Block, Digest, Hasher, Header, HeaderId, LeaderPublic, ProofOfLeadership, PublicKey, SignedTransaction,
    TransactionId, Version,
};

pub use lottery::Lottery;
pub use verify::{Invalid, MAX_BLOCK_WEIGHT, MAX_TRANSACTIONS};

/// On how many blocks' word a block is followed whose data this node has not found available. A node that could
/// not sample lags behind by as much, and no more.
pub const DEEP: u64 = 2;

/// The block tree of one node.
pub struct Chain {
    lottery: Lottery,
    security_param: u64,
    blocks: HashMap<HeaderId, Entry>,
    /// The followed chain by height, genesis first.
    main: Vec<HeaderId>,
    lib: u64,
    /// Blocks that are neither final nor known to be abandoned for good.
    open: HashSet<HeaderId>,
    /// Open blocks whose data is not known to be available.
    unsampled: HashSet<HeaderId>,
    /// Transactions of the followed chain, and their blocks.
    included: HashMap<TransactionId, HeaderId>,
    /// Which block a leader made in a slot, as long as it is open.
    led: HashMap<(PublicKey, u64), HeaderId>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("tip", &self.main.last())
            .field("lib", &self.lib)
            .finish_non_exhaustive()
    }
}

struct Entry {
    /// Genesis has none.
    block: Option<Arc<Block>>,
    parent: HeaderId,
    slot: u64,
    height: u64,
    /// The ledger after the block, as long as blocks can be added to it.
    ledger: Option<Arc<Ledger>>,
}

/// What became of a block that was no error.
#[derive(Debug)]
pub enum Added {
    /// It is in the tree already.
    Known,
    /// Its parent is not in the tree.
    Orphan,
    /// It is in the tree now.
    Applied(Applied),
}

/// What a new block changed.
#[derive(Debug, Default)]
pub struct Applied {
    /// The block's height.
    pub height: u64,
    /// Whether the block is the new tip.
    pub is_tip: bool,
    /// Blocks that left the followed chain, lowest first.
    pub abandoned: Vec<Arc<Block>>,
    /// Blocks that joined the followed chain, lowest first.
    pub adopted: Vec<Arc<Block>>,
    /// Blocks that became final, lowest first, with their heights.
    pub finalized: Vec<(u64, HeaderId)>,
    /// Another block of the same leader in the same slot.
    pub equivocation: Option<HeaderId>,
}

/// Why a block was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It forks off below the LIB.
    #[error("it forks off below the last irreversible block")]
    BelowLib,
    /// It breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Chain {
    /// The chain before the first block.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let ledger = Arc::new(Ledger::new(&settings.genesis));
        let lottery = Lottery::new(settings, ledger.root());
        let header = genesis(&lottery, ledger.root());
        let (id, slot) = (header.id(), header.slot);
        let entry = Entry { block: None, parent: header.parent_block, slot, height: 0, ledger: Some(ledger) };
        Self {
            lottery,
            security_param: settings.security_param,
            blocks: HashMap::from([(id, entry)]),
            main: vec![id],
            lib: 0,
            open: HashSet::new(),
            unsampled: HashSet::new(),
            included: HashMap::new(),
            led: HashMap::new(),
        }
    }

    /// Id of the block that every chain begins with.
    #[must_use]
    pub fn genesis(&self) -> HeaderId {
        self.main[0]
    }

    /// The newest block of the followed chain.
    #[must_use]
    pub fn tip(&self) -> HeaderId {
        self.main[self.main.len() - 1]
    }

    /// Height of the tip; genesis has height 0.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.main.len() as u64 - 1
    }

    /// Slot of the tip.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.blocks[&self.tip()].slot
    }

    /// The last irreversible block.
    #[must_use]
    pub fn lib(&self) -> HeaderId {
        self.main[self.at(self.lib)]
    }

    /// Height of the last irreversible block.
    #[must_use]
    pub fn lib_height(&self) -> u64 {
        self.lib
    }

    /// The ledger after the tip.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        self.blocks[&self.tip()].ledger.as_ref().expect("blocks can be added to the tip")
    }

    /// The ledger after a block; `None` where the block is unknown or below the LIB.
    #[must_use]
    pub fn ledger_after(&self, id: &HeaderId) -> Option<&Arc<Ledger>> {
        self.blocks.get(id)?.ledger.as_ref()
    }

    /// A block by its id. Genesis is none.
    #[must_use]
    pub fn block(&self, id: &HeaderId) -> Option<&Arc<Block>> {
        self.blocks.get(id)?.block.as_ref()
    }

    /// Whether the block is in the tree.
    #[must_use]
    pub fn contains(&self, id: &HeaderId) -> bool {
        self.blocks.contains_key(id)
    }

    /// The block of the followed chain that has this transaction.
    #[must_use]
    pub fn inclusion(&self, transaction: &TransactionId) -> Option<HeaderId> {
        self.included.get(transaction).copied()
    }

    /// Makes the block of a slot on the tip, where the key wins the slot and the tip is older.
    #[must_use]
    pub fn make(&self, key: &SecretKey, slot: u64, transactions: Vec<SignedTransaction>) -> Option<Block> {
        self.make_on(self.tip(), key, slot, transactions)
    }

    /// Makes the block of a slot on some block, where the key wins the slot and that block is older and not below
    /// the LIB.
    #[must_use]
    pub fn make_on(
        &self,
        parent_block: HeaderId,
        key: &SecretKey,
        slot: u64,
        transactions: Vec<SignedTransaction>,
    ) -> Option<Block> {
        let parent = self.blocks.get(&parent_block).filter(|parent| parent.slot < slot)?;
        let proof_of_leadership = self.lottery.draw(key, slot, parent.ledger.as_ref()?.root())?;
        let header = Header {
            version: Version::Bedrock,
            parent_block,
            slot,
            block_root: Block::root(&transactions),
            proof_of_leadership,
        };
        let signature = key.sign(&header.id().0);
        Some(Block { header, signature, transactions })
    }

    /// Judges a block and adds it. `latest` is the newest slot that a block may have.
    ///
    /// # Errors
    ///
    /// Why it is not in the tree; then nothing is changed.
    pub fn add(&mut self, block: Arc<Block>, latest: u64) -> Result<Added, Refused> {
        self.judge(block, true, latest)
    }

    /// The same for a block whose data is not known to be available. [`Chain::sampled`] tells that it is.
    ///
    /// # Errors
    ///
    /// Why it is not in the tree; then nothing is changed.
    pub fn add_unsampled(&mut self, block: Arc<Block>, latest: u64) -> Result<Added, Refused> {
        self.judge(block, false, latest)
    }

    /// Adds a block that this node judged before, without its signatures.
    ///
    /// # Errors
    ///
    /// Why it is not in the tree; then nothing is changed.
    pub fn restore(&mut self, block: Arc<Block>) -> Result<Added, Refused> {
        self.join(block, true, |_, block, _, _, before| verify::apply_again(block, before))
    }

    fn judge(&mut self, block: Arc<Block>, is_sampled: bool, latest: u64) -> Result<Added, Refused> {
        self.join(block, is_sampled, |chain, block, id, parent, before| {
            verify::check(block, id, &chain.lottery, parent.slot, before, latest)?;
            verify::apply(block, before)
        })
    }

    fn join(
        &mut self,
        block: Arc<Block>,
        is_sampled: bool,
        judge: impl FnOnce(&Self, &Block, &HeaderId, &Entry, &Arc<Ledger>) -> Result<Arc<Ledger>, Invalid>,
    ) -> Result<Added, Refused> {
        let id = block.id();
        if self.contains(&id) {
            return Ok(Added::Known);
        }
        let Some(parent) = self.blocks.get(&block.header.parent_block) else {
            return Ok(Added::Orphan);
        };
        let Some(before) = &parent.ledger else {
            return Err(Refused::BelowLib);
        };
        let ledger = judge(self, &block, &id, parent, before)?;
        let height = parent.height + 1;
        if !is_sampled {
            self.unsampled.insert(id);
        }
        Ok(Added::Applied(self.insert(id, block, height, ledger)))
    }

    fn insert(&mut self, id: HeaderId, block: Arc<Block>, height: u64, ledger: Arc<Ledger>) -> Applied {
        let Header { parent_block: parent, slot, .. } = block.header;
        let leader = block.header.proof_of_leadership.leader_key;
        let equivocation = self.led.insert((leader, slot), id);
        let entry = Entry { block: Some(block), parent, slot, height, ledger: Some(ledger) };
        self.blocks.insert(id, entry);
        self.open.insert(id);
        let mut applied = Applied { height, equivocation, ..Applied::default() };
        if self.is_better(&id) && self.may_follow(&id) {
            self.follow(id, &mut applied);
            self.finalize(&mut applied);
        }
        applied
    }

    /// Whether the block is on the followed chain.
    fn follows(&self, id: &HeaderId) -> bool {
        self.blocks.get(id).is_some_and(|entry| self.main.get(self.at(entry.height)) == Some(id))
    }

    #[expect(clippy::unused_self, reason = "reads as a question to the chain")]
    fn at(&self, height: u64) -> usize {
        usize::try_from(height).expect("a chain in memory is shorter than the address space")
    }
}

/// The header that every chain begins with. It differs where anything of the configuration that nodes must agree
/// on differs, since all of this is in the nonce.
fn genesis(lottery: &Lottery, ledger: Digest) -> Header {
    let public = LeaderPublic { slot: 0, ..lottery.public(0, ledger) };
    Header {
        version: Version::Bedrock,
        parent_block: HeaderId::default(),
        slot: 0,
        block_root: Digest(Hasher::new("block root").finish()),
        proof_of_leadership: ProofOfLeadership {
            proof: [0; 128],
            entropy_contribution: Digest::default(),
            leader_key: PublicKey::default(),
            voucher_cm: Digest::default(),
            public,
        },
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
