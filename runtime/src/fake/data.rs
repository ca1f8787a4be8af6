//! Data availability in memory: a blob is cut into two halves, and with their exclusive or there are three
//! shares of which any two restore it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::FakeProgram;
use super::chain::hash;
use crate::node::{
    BlobId, ChannelId, DataAvailability, Dispersal, Inscription, Message, MessageId, TransactionId,
};

/// How many shares a blob has.
pub(super) const SHARES: usize = 3;

/// A share as nodes hand it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Share {
    pub(super) share_idx: usize,
    #[serde(with = "hex")]
    bytes: Vec<u8>,
    /// Says that it is the blob's.
    proof: String,
}

impl Share {
    fn new(blob: BlobId, share_idx: usize, bytes: Vec<u8>) -> Self {
        let proof = hash(&(blob, share_idx, hex::encode(&bytes))).to_string();
        Self { share_idx, bytes, proof }
    }

    fn is_of(&self, blob: BlobId) -> bool {
        self.proof == hash(&(blob, self.share_idx, hex::encode(&self.bytes))).to_string()
    }

    /// The same with another first byte.
    pub(super) fn corrupted(mut self) -> Self {
        if let Some(first) = self.bytes.first_mut() {
            *first ^= 1;
        }
        self
    }
}

pub(super) fn blob_id(data: &[u8]) -> BlobId {
    BlobId(hash(&("blob", hex::encode(data))).0)
}

/// The shares of a blob, by their index.
pub(super) fn shares(data: &[u8]) -> Vec<Share> {
    let blob = blob_id(data);
    let (one, other) = data.split_at(data.len() / 2);
    [one.to_vec(), other.to_vec(), xor(one, other)]
        .into_iter()
        .enumerate()
        .map(|(index, bytes)| Share::new(blob, index, bytes))
        .collect()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// The transaction by which an executor publishes a blob.
pub(super) fn publication(dispersal: &Dispersal) -> Value {
    transaction(dispersal.channel_id, dispersal.parent_msg_id, Some(blob_id(&dispersal.data)), &[])
}

fn transaction(channel: ChannelId, parent: MessageId, blob: Option<BlobId>, text: &[u8]) -> Value {
    let id = MessageId(hash(&("message", channel, parent, blob, text)).0);
    json!({ "id": hash(&("transaction", id)), "message": Message { channel, id, parent, blob } })
}

/// The message that a transaction writes, if it does.
pub(super) fn message(transaction: &Value) -> Option<Message> {
    serde_json::from_value(transaction["message"].clone()).ok()
}

impl DataAvailability for FakeProgram {
    fn signer(&self) -> String {
        "fake".to_owned()
    }

    fn inscription(&self, channel: ChannelId, parent: MessageId, text: &[u8]) -> Inscription {
        let body = transaction(channel, parent, None, text);
        let message = message(&body).expect("it was made with one");
        let id: TransactionId = serde_json::from_value(body["id"].clone()).expect("it was made with one");
        Inscription { id, message: message.id, body }
    }

    fn blob_size(&self, wanted: usize) -> usize {
        wanted.next_multiple_of(2)
    }

    fn messages(&self, transaction: &Value) -> Result<Vec<Message>, String> {
        Ok(message(transaction).into_iter().collect())
    }

    fn restore(&self, blob: BlobId, size: usize, shares: &[Value]) -> Result<Vec<u8>, String> {
        let mut good: [Option<Vec<u8>>; SHARES] = Default::default();
        let mut bad = 0;
        for share in shares {
            match serde_json::from_value::<Share>(share.clone()) {
                Ok(share) if share.share_idx < SHARES && share.is_of(blob) => {
                    good[share.share_idx] = Some(share.bytes);
                }
                _ => bad += 1,
            }
        }
        let (one, other) = match good {
            [Some(one), Some(other), _] => (one, other),
            [Some(one), None, Some(both)] => (one.clone(), xor(&one, &both)),
            [None, Some(other), Some(both)] => (xor(&other, &both), other),
            good => {
                let good = good.iter().flatten().count();
                return Err(format!("{good} good shares and {bad} bad ones, it takes 2"));
            }
        };
        let data = [one, other].concat();
        if data.len() == size { Ok(data) } else { Err(format!("{} bytes, not {size}", data.len())) }
    }
}
