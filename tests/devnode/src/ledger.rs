//! Who owns what: unspent notes and channels, and the rules by which transactions change them.
//!
//! [`Ledger::validate`] judges all rules; [`Ledger::apply`] those that depend on what was applied before, for
//! transactions whose other rules were judged already.

mod channels;
mod refusal;

use std::collections::HashSet;

use rpds::HashTrieMapSync;

use crate::genesis::Genesis;
use crate::wire::{Digest, Hasher, NoteId, Op, OpProof, Output, PublicKey, SignedTransaction};

use channels::Channels;
pub use refusal::Refusal;

/// The longest list of inputs, outputs, operations or keys.
pub const MAX_COUNT: usize = 255;

/// The longest encoding of a transaction, in bytes.
pub const MAX_TRANSACTION_LENGTH: usize = 64 * 1024;

/// All unspent notes and all channels after some block. Clones share all that they have in common: there is one for
/// every block that others may be added to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    notes: HashTrieMapSync<NoteId, Output>,
    channels: Channels,
    root: Digest,
}

impl Ledger {
    /// The ledger before the first block.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let notes = genesis.notes().map(|note| (note.id, note.output)).collect();
        let mut root = Hasher::new("genesis ledger");
        genesis.notes().for_each(|note| root.raw(&note.id.0));
        Self { notes, channels: Channels::default(), root: Digest(root.finish()) }
    }

    /// Hash of all that was applied, in its order.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The unspent note of this id.
    #[must_use]
    pub fn note(&self, id: &NoteId) -> Option<&Output> {
        self.notes.get(id)
    }

    /// Value of all unspent notes of an owner.
    #[must_use]
    pub fn balance(&self, owner: &PublicKey) -> u64 {
        self.notes.values().filter(|note| note.pk == *owner).map(|note| note.value).sum()
    }

    /// Judges a transaction by all rules.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn validate(&self, transaction: &SignedTransaction) -> Result<(), Refusal> {
        check_form(transaction)?;
        self.check(transaction)?;
        self.check_signatures(transaction)
    }

    /// Changes the ledger as the transaction says. Signatures and form are not judged again.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks; then nothing is changed.
    pub fn apply(&mut self, transaction: &SignedTransaction) -> Result<(), Refusal> {
        self.channels = self.check(transaction)?;
        let ledger_tx = &transaction.mantle_tx.ledger_tx;
        for input in &ledger_tx.inputs {
            self.notes.remove_mut(input);
        }
        for note in ledger_tx.notes() {
            self.notes.insert_mut(note.id, note.output);
        }
        let mut root = Hasher::new("ledger");
        root.raw(&self.root.0);
        root.raw(&transaction.id().0);
        self.root = Digest(root.finish());
        Ok(())
    }

    /// The rules that depend on what was applied before. Returns the channels as they are afterwards.
    fn check(&self, transaction: &SignedTransaction) -> Result<Channels, Refusal> {
        let ledger_tx = &transaction.mantle_tx.ledger_tx;
        let mut inputs: u128 = 0;
        for (index, id) in ledger_tx.inputs.iter().enumerate() {
            let note = self.notes.get(id).ok_or(Refusal::InputUnknown { index, note: *id })?;
            inputs += u128::from(note.value);
        }
        let outputs = ledger_tx.outputs.iter().map(|output| u128::from(output.value)).sum();
        if inputs != outputs {
            return Err(Refusal::Unbalanced { inputs, outputs });
        }
        let mut channels = self.channels.clone();
        for (index, op) in transaction.mantle_tx.ops.iter().enumerate() {
            channels.apply(op, transaction).map_err(|rule| Refusal::Operation { index, rule })?;
        }
        Ok(channels)
    }

    fn check_signatures(&self, transaction: &SignedTransaction) -> Result<(), Refusal> {
        let SignedTransaction { mantle_tx, ops_proofs, ledger_tx_proof } = transaction;
        let id = mantle_tx.id();
        for (index, (op, proof)) in mantle_tx.ops.iter().zip(ops_proofs).enumerate() {
            let signer = match op {
                Op::Inscribe(op) => Some(op.signer),
                Op::Blob(op) => Some(op.signer),
                Op::SetKeys(op) => self.channels.owner(&op.channel).or(op.keys.first().copied()),
            };
            let OpProof::Ed25519Sig(signature) = proof else {
                return Err(Refusal::OperationSignature { index });
            };
            if !signer.is_some_and(|signer| signer.has_signed(&id.0, signature)) {
                return Err(Refusal::OperationSignature { index });
            }
        }
        for (index, (note, signature)) in
            mantle_tx.ledger_tx.inputs.iter().zip(&ledger_tx_proof.signatures).enumerate()
        {
            let owner = self.notes.get(note).map(|note| note.pk);
            if !owner.is_some_and(|owner| owner.has_signed(&id.0, signature)) {
                return Err(Refusal::InputSignature { index });
            }
        }
        Ok(())
    }
}

/// The rules that a transaction keeps or breaks whatever was applied before.
fn check_form(transaction: &SignedTransaction) -> Result<(), Refusal> {
    let SignedTransaction { mantle_tx, ops_proofs, ledger_tx_proof } = transaction;
    let ledger_tx = &mantle_tx.ledger_tx;
    let lists = [
        ("operations", mantle_tx.ops.len()),
        ("inputs", ledger_tx.inputs.len()),
        ("outputs", ledger_tx.outputs.len()),
    ];
    for (list, count) in lists {
        if count > MAX_COUNT {
            return Err(Refusal::TooMany { list, count });
        }
    }
    if mantle_tx.ops.is_empty() && ledger_tx.inputs.is_empty() {
        return Err(Refusal::Empty);
    }
    let length = mantle_tx.encoded_length();
    if length > MAX_TRANSACTION_LENGTH {
        return Err(Refusal::TooLong { length });
    }
    if (mantle_tx.execution_gas_price, mantle_tx.storage_gas_price) != (0, 0) {
        return Err(Refusal::GasPrice);
    }
    if let Some(index) = ledger_tx.outputs.iter().position(|output| output.value == 0) {
        return Err(Refusal::ZeroOutput { index });
    }
    let mut seen = HashSet::new();
    if let Some(index) = ledger_tx.inputs.iter().position(|input| !seen.insert(input)) {
        return Err(Refusal::InputRepeated { index, note: ledger_tx.inputs[index] });
    }
    if ops_proofs.len() != mantle_tx.ops.len() {
        return Err(Refusal::ProofCount { proofs: ops_proofs.len(), operations: mantle_tx.ops.len() });
    }
    let signatures = ledger_tx_proof.signatures.len();
    if signatures != ledger_tx.inputs.len() {
        return Err(Refusal::SignatureCount { signatures, inputs: ledger_tx.inputs.len() });
    }
    Ok(())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
