//! Transactions: operations on channels, a transfer of notes, and the proofs of both.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::genesis::Note;

use super::{BlobId, ChannelId, Hasher, MessageId, NoteId, PublicKey, Signature, TransactionId, ints};

/// A transaction as it is submitted and as it stands in blocks. `P` is the proof of its ledger transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTransaction<P = Signatures> {
    /// What the transaction does, which is what its id covers.
    pub mantle_tx: MantleTx,
    /// One proof for each operation.
    pub ops_proofs: Vec<OpProof>,
    /// Why the inputs may be spent.
    pub ledger_tx_proof: P,
}

/// A transaction without its proofs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MantleTx {
    /// Operations on channels.
    pub ops: Vec<Op>,
    /// The transfer of notes.
    pub ledger_tx: LedgerTx,
    /// Always 0.
    pub execution_gas_price: u64,
    /// Always 0.
    pub storage_gas_price: u64,
}

/// Notes that are spent, and notes that are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTx {
    /// Ids of notes that are spent.
    pub inputs: Vec<NoteId>,
    /// Notes that are made.
    pub outputs: Vec<Output>,
}

/// A note without its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Value in units.
    pub value: u64,
    /// Who may spend it.
    pub pk: PublicKey,
}

/// The in-tree proof of a ledger transaction: for each input the owner's signature of the transaction's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signatures {
    /// In the order of the inputs.
    pub signatures: Vec<Signature>,
}

/// The production proof of a ledger transaction. The in-tree node reads and makes none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groth16Proof {
    #[serde(with = "ints")]
    #[expect(missing_docs, reason = "the name in the proof system")]
    pub pi_a: [u8; 32],
    #[serde(with = "ints")]
    #[expect(missing_docs, reason = "the name in the proof system")]
    pub pi_b: [u8; 64],
    #[serde(with = "ints")]
    #[expect(missing_docs, reason = "the name in the proof system")]
    pub pi_c: [u8; 32],
}

/// Why an operation may be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpProof {
    /// It needs no proof.
    NoProof,
    /// The signer's signature of the transaction's id.
    Ed25519Sig(Signature),
    /// Of production's other operations.
    ZkSig(Value),
    /// Of production's other operations.
    ZkAndEd25519Sigs(Value),
}

/// An operation: `{"opcode": N, "payload": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawOp", into = "RawOp")]
pub enum Op {
    /// `0x00`
    Inscribe(Inscription),
    /// `0x01`
    Blob(Blob),
    /// `0x02`
    SetKeys(SetKeys),
}

/// Writes a message into a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inscription {
    /// The channel.
    pub channel_id: ChannelId,
    /// The message.
    pub inscription: Vec<u8>,
    /// The channel's last message; zeros for a new channel.
    pub parent: MessageId,
    /// One of the channel's keys; the first signer becomes a new channel's owner.
    pub signer: PublicKey,
}

/// Anchors dispersed data in a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// The channel.
    pub channel: ChannelId,
    /// The session whose nodes hold the data.
    pub session: u64,
    /// Id of the data.
    pub blob: BlobId,
    /// Length of the data in bytes.
    pub blob_size: u64,
    /// Price of storing it.
    pub da_storage_gas_price: u64,
    /// The channel's last message.
    pub parent: MessageId,
    /// One of the channel's keys.
    pub signer: PublicKey,
}

/// Says who may write into a channel from now on. Signed by the channel's owner, who is the first of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetKeys {
    /// The channel.
    pub channel: ChannelId,
    /// All its keys, the owner first.
    pub keys: Vec<PublicKey>,
}

#[derive(Serialize, Deserialize)]
struct RawOp {
    opcode: u8,
    payload: Value,
}

impl TryFrom<RawOp> for Op {
    type Error = String;

    fn try_from(RawOp { opcode, payload }: RawOp) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("payload of opcode {opcode}: {error}");
        match opcode {
            0x00 => serde_json::from_value(payload).map(Self::Inscribe).map_err(wrong),
            0x01 => serde_json::from_value(payload).map(Self::Blob).map_err(wrong),
            0x02 => serde_json::from_value(payload).map(Self::SetKeys).map_err(wrong),
            _ => Err(format!("unknown opcode {opcode}, expected 0, 1 or 2")),
        }
    }
}

impl From<Op> for RawOp {
    fn from(op: Op) -> Self {
        let opcode = op.opcode();
        let payload = match op {
            Op::Inscribe(payload) => serde_json::to_value(payload),
            Op::Blob(payload) => serde_json::to_value(payload),
            Op::SetKeys(payload) => serde_json::to_value(payload),
        };
        Self { opcode, payload: payload.expect("payloads are plain data") }
    }
}

impl Op {
    /// The number by which JSON and the encoding tell operations apart.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        match self {
            Self::Inscribe(_) => 0x00,
            Self::Blob(_) => 0x01,
            Self::SetKeys(_) => 0x02,
        }
    }

    /// Id of the message that the operation writes: the hash of its payload.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        let mut hasher = Hasher::plain();
        self.encode(&mut hasher);
        MessageId(hasher.finish())
    }

    fn encode(&self, hasher: &mut Hasher) {
        match self {
            Self::Inscribe(Inscription { channel_id, inscription, parent, signer }) => {
                hasher.raw(&channel_id.0);
                hasher.bytes(inscription);
                hasher.raw(&parent.0);
                hasher.raw(&signer.0);
            }
            Self::Blob(Blob { channel, session, blob, blob_size, da_storage_gas_price, parent, signer }) => {
                hasher.raw(&channel.0);
                hasher.u64(*session);
                hasher.raw(&blob.0);
                hasher.u64(*blob_size);
                hasher.u64(*da_storage_gas_price);
                hasher.raw(&parent.0);
                hasher.raw(&signer.0);
            }
            Self::SetKeys(SetKeys { channel, keys }) => {
                hasher.raw(&channel.0);
                hasher.count(keys.len());
                keys.iter().for_each(|key| hasher.raw(&key.0));
            }
        }
    }
}

impl LedgerTx {
    /// The notes that the outputs make.
    pub fn notes(&self) -> impl Iterator<Item = Note> + use<> {
        let mut own = Hasher::new("ledger transaction");
        self.encode(&mut own);
        let own = own.finish();
        let outputs = self.outputs.clone().into_iter().enumerate();
        outputs.map(move |(index, output)| {
            let mut hasher = Hasher::new("note");
            hasher.raw(&own);
            hasher.u64(index as u64);
            hasher.u64(output.value);
            hasher.raw(&output.pk.0);
            Note { id: NoteId(hasher.finish()), output }
        })
    }

    fn encode(&self, hasher: &mut Hasher) {
        hasher.count(self.inputs.len());
        self.inputs.iter().for_each(|input| hasher.raw(&input.0));
        hasher.count(self.outputs.len());
        for Output { value, pk } in &self.outputs {
            hasher.u64(*value);
            hasher.raw(&pk.0);
        }
    }
}

impl MantleTx {
    /// The transaction's id.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        TransactionId(self.encoded().finish())
    }

    /// Length of its encoding in bytes.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        self.encoded().length()
    }

    fn encoded(&self) -> Hasher {
        let mut hasher = Hasher::new("transaction");
        hasher.count(self.ops.len());
        for op in &self.ops {
            hasher.raw(&[op.opcode()]);
            op.encode(&mut hasher);
        }
        self.ledger_tx.encode(&mut hasher);
        hasher.u64(self.execution_gas_price);
        hasher.u64(self.storage_gas_price);
        hasher
    }
}

impl<P> SignedTransaction<P> {
    /// The transaction's id, which does not cover its proofs.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.mantle_tx.id()
    }
}

impl SignedTransaction {
    /// The blobs that it publishes.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.mantle_tx.ops.iter().filter_map(|op| match op {
            Op::Blob(blob) => Some(blob),
            Op::Inscribe(_) | Op::SetKeys(_) => None,
        })
    }

    /// How much of a block it takes, in bytes: its encoding and its signatures.
    #[must_use]
    pub fn weight(&self) -> usize {
        let signatures = self.ops_proofs.len() + self.ledger_tx_proof.signatures.len();
        self.mantle_tx.encoded_length() + 64 * signatures
    }
}

/// The id of a transaction as it stands in a block or in a submission, whatever proofs it has.
///
/// # Errors
///
/// Says what the value lacks to be a transaction.
pub fn transaction_id(transaction: &Value) -> Result<TransactionId, String> {
    let tx = transaction.get("mantle_tx").ok_or("a transaction without `mantle_tx`")?;
    let tx = MantleTx::deserialize(tx).map_err(|error| format!("mantle_tx: {error}"))?;
    Ok(tx.id())
}
