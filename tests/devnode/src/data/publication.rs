//! What executors are asked to publish, and the transactions that write into channels.

use serde::{Deserialize, Serialize};

use super::FIRST_SESSION;
use crate::keys::SecretKey;
use crate::wire::{
    Blob, BlobId, ChannelId, MantleTx, MessageId, Op, OpProof, PublicKey, Signatures, SignedTransaction,
};

/// The body of `POST /disperse-data`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dispersal {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its last message.
    pub parent_msg_id: MessageId,
    /// One of its keys, which has to be the [`publisher`]'s.
    pub signer: PublicKey,
    /// The data.
    pub data: Vec<u8>,
}

impl Dispersal {
    /// The transaction that publishes the data as a blob of the first session. The same request always makes
    /// the same transaction.
    #[must_use]
    pub fn publication(&self, blob: BlobId) -> SignedTransaction {
        signed(Op::Blob(Blob {
            channel: self.channel_id,
            session: FIRST_SESSION,
            blob,
            blob_size: self.data.len() as u64,
            da_storage_gas_price: 0,
            parent: self.parent_msg_id,
            signer: self.signer,
        }))
    }
}

/// The key in whose name all executors publish. It is production's, and everybody knows it: its seed is zeros.
#[must_use]
pub fn publisher() -> SecretKey {
    SecretKey::from_seed([0; 32])
}

/// A transaction that does just this, signed by the publisher.
#[must_use]
pub fn signed(op: Op) -> SignedTransaction {
    let mantle_tx = MantleTx { ops: vec![op], ..MantleTx::default() };
    let signature = publisher().sign(&mantle_tx.id().0);
    SignedTransaction {
        mantle_tx,
        ops_proofs: vec![OpProof::Ed25519Sig(signature)],
        ledger_tx_proof: Signatures::default(),
    }
}
