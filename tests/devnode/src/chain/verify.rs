//! The rules that a block must keep.

use std::sync::Arc;

use super::Lottery;
use crate::ledger::{Ledger, Refusal};
use crate::wire::{Block, HeaderId, SignedTransaction, TransactionId};

/// The most transactions of a block.
pub const MAX_TRANSACTIONS: usize = 1024;

/// The most bytes that the transactions of a block have together, by [`SignedTransaction::weight`].
pub const MAX_BLOCK_WEIGHT: usize = 512 * 1024;

/// The rule that a block breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Invalid {
    #[error("its slot {slot} has not begun, the newest that may be accepted is {latest}")]
    Future { slot: u64, latest: u64 },
    #[error("its slot {slot} is not after its parent's slot {parent}")]
    SlotOrder { slot: u64, parent: u64 },
    #[error("its leader did not win slot {slot}")]
    Lottery { slot: u64 },
    #[error("its signature is not its leader's")]
    Signature,
    #[error("its block root is not that of its transactions")]
    BlockRoot,
    #[error("it has more transactions than {MAX_TRANSACTIONS}, or more bytes than {MAX_BLOCK_WEIGHT}")]
    TooHeavy,
    #[error("its transaction {id} breaks a rule: {refusal}")]
    Transaction { id: TransactionId, refusal: Refusal },
}

/// The rules of the header, on a parent of that slot and that ledger.
pub(super) fn check(
    block: &Block,
    id: &HeaderId,
    lottery: &Lottery,
    parent_slot: u64,
    ledger: &Ledger,
    latest: u64,
) -> Result<(), Invalid> {
    let header = &block.header;
    let slot = header.slot;
    if slot > latest {
        return Err(Invalid::Future { slot, latest });
    }
    if slot <= parent_slot {
        return Err(Invalid::SlotOrder { slot, parent: parent_slot });
    }
    if !lottery.is_won(&header.proof_of_leadership, slot, ledger.root()) {
        return Err(Invalid::Lottery { slot });
    }
    if !header.proof_of_leadership.leader_key.has_signed(&id.0, &block.signature) {
        return Err(Invalid::Signature);
    }
    if header.block_root != Block::root(&block.transactions) {
        return Err(Invalid::BlockRoot);
    }
    let weight: usize = block.transactions.iter().map(SignedTransaction::weight).sum();
    if block.transactions.len() > MAX_TRANSACTIONS || weight > MAX_BLOCK_WEIGHT {
        return Err(Invalid::TooHeavy);
    }
    Ok(())
}

/// The ledger after a block whose transactions are judged by all rules.
pub(super) fn apply(block: &Block, before: &Arc<Ledger>) -> Result<Arc<Ledger>, Invalid> {
    after(block, before, Ledger::validate)
}

/// The ledger after a block whose transactions were judged before.
pub(super) fn apply_again(block: &Block, before: &Arc<Ledger>) -> Result<Arc<Ledger>, Invalid> {
    after(block, before, |_, _| Ok(()))
}

fn after(
    block: &Block,
    before: &Arc<Ledger>,
    judge: impl Fn(&Ledger, &SignedTransaction) -> Result<(), Refusal>,
) -> Result<Arc<Ledger>, Invalid> {
    let mut ledger = before.clone();
    for transaction in &block.transactions {
        let refused = |refusal| Invalid::Transaction { id: transaction.id(), refusal };
        judge(&ledger, transaction).map_err(refused)?;
        Arc::make_mut(&mut ledger).apply(transaction).map_err(refused)?;
    }
    Ok(ledger)
}
