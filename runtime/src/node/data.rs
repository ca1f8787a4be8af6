//! Channels and blobs: what the framework must know of a program that keeps data available.
//!
//! A channel is a chain of messages: an inscription opens it, and each further message names the one before
//! it as its parent. A blob's message holds the blob's id; the data itself is kept as shares, of which some
//! suffice to restore it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BlobId, ChannelId, MessageId, TransactionId};

/// A message as it stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The channel.
    pub channel: ChannelId,
    /// The message's id.
    pub id: MessageId,
    /// The message before it.
    pub parent: MessageId,
    /// The blob it tells of; an inscription tells of none.
    pub blob: Option<BlobId>,
}

/// A signed transaction that inscribes a message, ready to be submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Inscription {
    /// The id of the transaction in a block.
    pub id: TransactionId,
    /// The id of the message.
    pub message: MessageId,
    /// The body of the submission.
    pub body: Value,
}

/// Writes and reads a node program's channels and blobs.
pub trait DataAvailability: Send + Sync {
    /// The public key, in hex, in whose name executors publish. It has to be the owner of the channels they
    /// publish on.
    fn signer(&self) -> String;

    /// A transaction, signed by [`signer`](Self::signer), that writes `text` into a channel after `parent`.
    /// May be slow; it is called on threads that may block.
    fn inscription(&self, channel: ChannelId, parent: MessageId, text: &[u8]) -> Inscription;

    /// The smallest size, in bytes, of at least `wanted` that executors disperse.
    fn blob_size(&self, wanted: usize) -> usize;

    /// The messages that a transaction writes, in order, as it stands in a block.
    ///
    /// # Errors
    ///
    /// Says what the value lacks to be a transaction of this program.
    fn messages(&self, transaction: &Value) -> Result<Vec<Message>, String>;

    /// The data of a blob of `size` bytes, restored from shares as nodes gave them, in any order and any of
    /// them more than once. Shares that are not the blob's are told from those that are.
    ///
    /// # Errors
    ///
    /// The shares do not suffice; says how many are good, how many are not, and how many it takes.
    fn restore(&self, blob: BlobId, size: usize, shares: &[Value]) -> Result<Vec<u8>, String>;
}
