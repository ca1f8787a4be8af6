//! Blocks, as they are stored and sent, and as the stream of applied blocks shows them.

use serde::{Deserialize, Serialize};

use super::{
    Digest, Hasher, HeaderId, LedgerTx, Op, OpProof, PublicKey, Signature, Signatures, SignedTransaction,
    TransactionId, ints,
};

/// A block. Its id is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block<P = Signatures> {
    /// What the id is the hash of.
    pub header: Header,
    /// The leader's signature of the id.
    pub signature: Signature,
    /// In the order in which they are applied.
    pub transactions: Vec<SignedTransaction<P>>,
}

/// What a block's id is the hash of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// There is one version.
    pub version: Version,
    /// The block before this one.
    pub parent_block: HeaderId,
    /// The slot in which the block was made.
    pub slot: u64,
    /// Hash of all transactions with their proofs.
    pub block_root: Digest,
    /// Why its maker was allowed to make it.
    pub proof_of_leadership: ProofOfLeadership,
}

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// The only one.
    Bedrock,
}

/// Why a block's maker was allowed to make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofOfLeadership {
    /// The leader's signature of epoch nonce and slot, then zeros.
    #[serde(with = "ints")]
    pub proof: [u8; 128],
    /// The draw: the hash of that signature.
    pub entropy_contribution: Digest,
    /// Owner of the leader note.
    pub leader_key: PublicKey,
    /// Zeros.
    pub voucher_cm: Digest,
    /// What the draw is judged by.
    pub public: LeaderPublic,
}

/// What a draw is judged by; every node knows it for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderPublic {
    /// The header's slot.
    pub slot: u64,
    /// Differs in every epoch.
    pub epoch_nonce: Digest,
    /// Value of all leader notes.
    pub total_stake: u64,
    /// Hash of the leader notes.
    pub aged_root: Digest,
    /// Hash of all that was applied to the ledger up to the parent block.
    pub latest_root: Digest,
}

impl Header {
    /// The block's id.
    #[must_use]
    pub fn id(&self) -> HeaderId {
        let ProofOfLeadership { proof, entropy_contribution, leader_key, voucher_cm, public } =
            &self.proof_of_leadership;
        let mut hasher = Hasher::new("header");
        hasher.raw(&self.parent_block.0);
        hasher.u64(self.slot);
        hasher.raw(&self.block_root.0);
        hasher.raw(proof);
        hasher.raw(&entropy_contribution.0);
        hasher.raw(&leader_key.0);
        hasher.raw(&voucher_cm.0);
        hasher.u64(public.slot);
        hasher.raw(&public.epoch_nonce.0);
        hasher.u64(public.total_stake);
        hasher.raw(&public.aged_root.0);
        hasher.raw(&public.latest_root.0);
        HeaderId(hasher.finish())
    }
}

impl Block {
    /// The block's id.
    #[must_use]
    pub fn id(&self) -> HeaderId {
        self.header.id()
    }

    /// The root that a header over these transactions must have.
    #[must_use]
    pub fn root(transactions: &[SignedTransaction]) -> Digest {
        let mut hasher = Hasher::new("block root");
        for transaction in transactions {
            hasher.raw(&transaction.id().0);
            hasher.count(transaction.ops_proofs.len());
            for proof in &transaction.ops_proofs {
                let text = serde_json::to_string(proof).expect("proofs are plain data");
                hasher.bytes(text.as_bytes());
            }
            hasher.count(transaction.ledger_tx_proof.signatures.len());
            transaction.ledger_tx_proof.signatures.iter().for_each(|signature| hasher.raw(&signature.0));
        }
        Digest(hasher.finish())
    }
}

/// A line of `/cryptarchia/blocks/stream`: a block with its id and the ids of its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiBlock {
    /// The header and its id.
    pub header: ApiHeader,
    /// The transactions and their ids.
    pub transactions: Vec<ApiTransaction>,
}

/// A header with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of Header, and the id")]
pub struct ApiHeader {
    pub id: HeaderId,
    pub parent_block: HeaderId,
    pub slot: u64,
    pub block_root: Digest,
    pub proof_of_leadership: ProofOfLeadership,
}

/// A transaction with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of SignedTransaction")]
pub struct ApiTransaction {
    pub mantle_tx: ApiMantleTx,
    pub ops_proofs: Vec<OpProof>,
    pub ledger_tx_proof: Signatures,
}

/// What a transaction does, with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of MantleTx, and the id")]
pub struct ApiMantleTx {
    pub hash: TransactionId,
    pub ops: Vec<Op>,
    pub ledger_tx: LedgerTx,
    pub execution_gas_price: u64,
    pub storage_gas_price: u64,
}

impl From<&Block> for ApiBlock {
    fn from(block: &Block) -> Self {
        let header = block.header.clone();
        let header = ApiHeader {
            id: header.id(),
            parent_block: header.parent_block,
            slot: header.slot,
            block_root: header.block_root,
            proof_of_leadership: header.proof_of_leadership,
        };
        Self { header, transactions: block.transactions.iter().map(ApiTransaction::from).collect() }
    }
}

impl From<&SignedTransaction> for ApiTransaction {
    fn from(transaction: &SignedTransaction) -> Self {
        let SignedTransaction { mantle_tx, ops_proofs, ledger_tx_proof } = transaction.clone();
        let mantle_tx = ApiMantleTx {
            hash: transaction.id(),
            ops: mantle_tx.ops,
            ledger_tx: mantle_tx.ledger_tx,
            execution_gas_price: mantle_tx.execution_gas_price,
            storage_gas_price: mantle_tx.storage_gas_price,
        };
        Self { mantle_tx, ops_proofs, ledger_tx_proof }
    }
}
