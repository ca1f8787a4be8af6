//! Transactions that wait for a block, in the order in which blocks take them.
//!
//! The pool stands on the ledger of the followed chain: each pending transaction is valid after those before it.
//! When the chain changes the pool is built anew: first the transactions of abandoned blocks, then what was
//! pending, then what was *parked*, which is what a peer sent before this node had the block that it builds on.
//! What is invalid by then is dropped. A transaction is in the pool once, by its id.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::chain::{Applied, MAX_BLOCK_WEIGHT, MAX_TRANSACTIONS};
use crate::ledger::{Ledger, Refusal};
use crate::recent::Recent;
use crate::wire::{SignedTransaction, TransactionId};

/// The most pending transactions.
pub const MAX_PENDING: usize = 10_000;
/// The most bytes that pending transactions have together, by [`SignedTransaction::weight`].
pub const MAX_PENDING_WEIGHT: usize = 8 * 1024 * 1024;
const MAX_PARKED: usize = 1_000;
const MAX_PARKED_CHANGES: u32 = 20;
const MAX_DROPPED: usize = 10_000;

/// The pool of one node. `T` is what a parked transaction comes back with.
pub struct Mempool<T> {
    /// The ledger after all that is pending.
    ledger: Arc<Ledger>,
    pending: Vec<Arc<SignedTransaction>>,
    ids: HashSet<TransactionId>,
    weight: usize,
    parked: Vec<Parked<T>>,
    dropped: Recent<TransactionId>,
}

impl<T> std::fmt::Debug for Mempool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mempool").field("pending", &self.ids).finish_non_exhaustive()
    }
}

struct Parked<T> {
    transaction: Arc<SignedTransaction>,
    token: T,
    changes: u32,
}

/// Why a transaction is not pending.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is pending already.
    #[error("Item already in mempool")]
    Known,
    /// There is no room.
    #[error("Mempool is full")]
    Full,
    /// It breaks a rule of the ledger.
    #[error(transparent)]
    Invalid(#[from] Refusal),
}

impl<T> Mempool<T> {
    /// An empty pool on a ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            pending: Vec::new(),
            ids: HashSet::new(),
            weight: 0,
            parked: Vec::new(),
            dropped: Recent::new(MAX_DROPPED),
        }
    }

    /// How many transactions are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// All that is pending, in order.
    #[must_use]
    pub fn pending(&self) -> &[Arc<SignedTransaction>] {
        &self.pending
    }

    /// Whether the transaction is pending.
    #[must_use]
    pub fn contains(&self, id: &TransactionId) -> bool {
        self.ids.contains(id)
    }

    /// Whether the transaction was pending and became invalid, not too long ago.
    #[must_use]
    pub fn has_dropped(&self, id: &TransactionId) -> bool {
        self.dropped.contains(id)
    }

    /// Judges a transaction as [`add`](Self::add) does, and leaves it out.
    ///
    /// # Errors
    ///
    /// Why it could not be pending now.
    pub fn judge(&self, transaction: &SignedTransaction) -> Result<(), Rejection> {
        if self.contains(&transaction.id()) {
            return Err(Rejection::Known);
        }
        self.ledger.validate(transaction)?;
        Ok(Arc::make_mut(&mut self.ledger.clone()).apply(transaction)?)
    }

    /// Judges a transaction in full and adds it.
    ///
    /// # Errors
    ///
    /// Why it is not pending now.
    pub fn add(&mut self, transaction: Arc<SignedTransaction>) -> Result<(), Rejection> {
        let id = transaction.id();
        if self.contains(&id) {
            return Err(Rejection::Known);
        }
        self.ledger.validate(&transaction)?;
        self.push(id, transaction)
    }

    /// Keeps a transaction that may become valid by the next changes of the chain.
    pub fn park(&mut self, transaction: Arc<SignedTransaction>, token: T) {
        if self.parked.len() < MAX_PARKED {
            self.parked.push(Parked { transaction, token, changes: 0 });
        }
    }

    /// The transactions of the next block on the ledger `before`: as many as it may have, from the front. What
    /// `may` not be taken yet is left out, and so is what builds on it.
    #[must_use]
    pub fn select(
        &self,
        before: &Arc<Ledger>,
        may: impl Fn(&SignedTransaction) -> bool,
    ) -> Vec<SignedTransaction> {
        let (mut weight, mut selected) = (0, Vec::new());
        // What is left is valid after what was left out; without that it has to be judged again.
        let mut again: Option<Arc<Ledger>> = None;
        for transaction in &self.pending {
            if !may(transaction) {
                again.get_or_insert_with(|| after(before, &selected));
                continue;
            }
            if again.as_mut().is_some_and(|ledger| Arc::make_mut(ledger).apply(transaction).is_err()) {
                continue;
            }
            weight += transaction.weight();
            if weight > MAX_BLOCK_WEIGHT || selected.len() == MAX_TRANSACTIONS {
                break;
            }
            selected.push((**transaction).clone());
        }
        selected
    }

    /// Builds the pool anew on the ledger of the chain's new tip. Returns what was parked and is pending now.
    pub fn rebase(&mut self, ledger: &Arc<Ledger>, change: &Applied) -> Vec<(Arc<SignedTransaction>, T)> {
        let in_blocks = change.adopted.iter().flat_map(|block| &block.transactions);
        let included: BTreeSet<_> = in_blocks.map(SignedTransaction::id).collect();
        let abandoned = change.abandoned.iter().flat_map(|block| block.transactions.iter().cloned());
        let pending = std::mem::take(&mut self.pending);
        let waiting: Vec<_> = abandoned.map(Arc::new).chain(pending).collect();
        self.ids.clear();
        self.weight = 0;
        self.ledger = ledger.clone();
        for transaction in waiting {
            let id = transaction.id();
            if !included.contains(&id) && !self.contains(&id) && self.push(id, transaction).is_err() {
                self.dropped.insert(id);
            }
        }
        self.retry_parked(&included)
    }

    fn retry_parked(&mut self, included: &BTreeSet<TransactionId>) -> Vec<(Arc<SignedTransaction>, T)> {
        let mut passed = Vec::new();
        for mut parked in std::mem::take(&mut self.parked) {
            if included.contains(&parked.transaction.id()) {
                continue;
            }
            parked.changes += 1;
            match self.add(parked.transaction.clone()) {
                Ok(()) => passed.push((parked.transaction, parked.token)),
                Err(Rejection::Invalid(refusal))
                    if refusal.may_pass() && parked.changes < MAX_PARKED_CHANGES =>
                {
                    self.parked.push(parked);
                }
                Err(_) => {}
            }
        }
        passed
    }

    /// Adds a transaction whose form and signatures were judged.
    fn push(&mut self, id: TransactionId, transaction: Arc<SignedTransaction>) -> Result<(), Rejection> {
        let weight = transaction.weight();
        if self.pending.len() >= MAX_PENDING || self.weight + weight > MAX_PENDING_WEIGHT {
            return Err(Rejection::Full);
        }
        Arc::make_mut(&mut self.ledger).apply(&transaction)?;
        self.weight += weight;
        self.ids.insert(id);
        self.pending.push(transaction);
        Ok(())
    }
}

fn after(before: &Arc<Ledger>, transactions: &[SignedTransaction]) -> Arc<Ledger> {
    let mut ledger = before.clone();
    for transaction in transactions {
        Arc::make_mut(&mut ledger).apply(transaction).expect("pending transactions are valid in their order");
    }
    ledger
}

#[cfg(test)]
mod tests;
