//! What a node says and hears: ids, transactions and blocks, in the exact JSON shapes of the production node.
//!
//! Ids, keys and hashes are 64 hex digits; signatures, proofs and blob ids are arrays of integers. Everything is
//! hashed with Blake2b-256 over a binary encoding: integers little-endian, `u8` counts for lists, `u32` lengths for
//! bytes, and a name for the kind of thing in front.

mod block;
mod encoding;
mod ids;
mod transaction;

pub use block::{
    ApiBlock, ApiHeader, ApiMantleTx, ApiTransaction, Block, Header, LeaderPublic, ProofOfLeadership, Version,
};
pub use encoding::Hasher;
pub(crate) use encoding::ints;
pub use ids::{BlobId, ChannelId, Digest, HeaderId, MessageId, NoteId, PublicKey, Signature, TransactionId};
pub use transaction::{
    Blob, Groth16Proof, Inscription, LedgerTx, MantleTx, Op, OpProof, Output, SetKeys, Signatures,
    SignedTransaction, transaction_id,
};

#[cfg(test)]
mod tests;
