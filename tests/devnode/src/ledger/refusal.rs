//! The rules of the ledger, each by the sentence that a refused transaction is answered with.

use super::{MAX_COUNT, MAX_TRANSACTION_LENGTH};
use crate::wire::NoteId;

/// The rule that a transaction breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Refusal {
    #[error("at most {MAX_COUNT} {list} are allowed, this transaction has {count}")]
    TooMany { list: &'static str, count: usize },
    #[error("a transaction needs an input or an operation, this one has neither")]
    Empty,
    #[error("a transaction may be {MAX_TRANSACTION_LENGTH} bytes long, this one is {length}")]
    TooLong { length: usize },
    #[error("gas prices must be 0")]
    GasPrice,
    #[error("outputs must not be zero, output {index} is")]
    ZeroOutput { index: usize },
    #[error("an input may be spent once, input {index} repeats note {note}")]
    InputRepeated { index: usize, note: NoteId },
    #[error("inputs must be unspent notes, input {index} is not: note {note} is unknown or already spent")]
    InputUnknown { index: usize, note: NoteId },
    #[error("inputs and outputs must have the same sum, these have {inputs} and {outputs}")]
    Unbalanced { inputs: u128, outputs: u128 },
    #[error("every operation needs one proof, there are {proofs} for {operations}")]
    ProofCount { proofs: usize, operations: usize },
    #[error("every input needs one signature, there are {signatures} for {inputs}")]
    SignatureCount { signatures: usize, inputs: usize },
    #[error("Invalid signature for operation at index {index}")]
    OperationSignature { index: usize },
    #[error("Invalid signature for input at index {index}")]
    InputSignature { index: usize },
    #[error("operation {index}: {rule}")]
    Operation { index: usize, rule: String },
}

impl Refusal {
    /// Whether the transaction may become valid by others that are applied before it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::InputUnknown { .. } | Self::Operation { .. })
    }
}
