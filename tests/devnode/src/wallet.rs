//! What whoever holds notes needs: the keys of the accounts, and signed transfers.

use crate::genesis::Note;
use crate::keys::SecretKey;
use crate::wire::{LedgerTx, MantleTx, Output, Signatures, SignedTransaction, TransactionId};

/// The key of wallet account `index`: `"wl"` and the index as little-endian `u64`, zero-padded, is its seed.
#[must_use]
pub fn account_key(index: u64) -> SecretKey {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(b"wl");
    seed[2..10].copy_from_slice(&index.to_le_bytes());
    SecretKey::from_seed(seed)
}

/// A signed transfer, ready to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The id it will have in a block.
    pub id: TransactionId,
    /// What is submitted: its JSON is the body of `POST /mempool/add/tx`.
    pub transaction: SignedTransaction,
    /// The notes it makes, in the order of its outputs.
    pub notes: Vec<Note>,
}

/// Spends `inputs`, each with the key of its owner, into `outputs`. Nothing is checked: a transfer that breaks the
/// ledger's rules is made just as well.
#[must_use]
pub fn transfer(inputs: &[(Note, &SecretKey)], outputs: Vec<Output>) -> Transfer {
    let ledger_tx = LedgerTx { inputs: inputs.iter().map(|(note, _)| note.id).collect(), outputs };
    let notes = ledger_tx.notes().collect();
    let mantle_tx = MantleTx { ledger_tx, ..MantleTx::default() };
    let id = mantle_tx.id();
    let signatures = inputs.iter().map(|(_, owner)| owner.sign(&id.0)).collect();
    let ledger_tx_proof = Signatures { signatures };
    Transfer {
        id,
        transaction: SignedTransaction { mantle_tx, ops_proofs: Vec::new(), ledger_tx_proof },
        notes,
    }
}
