//! What nodes say about blobs: in the gossip who has something, and to one another who wants it.

use serde::{Deserialize, Serialize};

use crate::data::Share;
use crate::keys::SecretKey;
use crate::wire::{BlobId, Hasher, PublicKey, Signature};

/// What is gossiped.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Offer(Offer),
    Stored(Stored),
}

/// An executor has the shares of a blob, for each member its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) blob: BlobId,
    pub(super) executor: PublicKey,
    /// Another one each time, since the gossip passes nothing on twice.
    pub(super) number: u64,
}

/// A member has stored its share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) blob: BlobId,
    /// The offer that this answers.
    pub(super) number: u64,
    pub(super) share: u16,
    signature: Signature,
}

/// A request for shares of a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::node) struct Query {
    pub(super) blob: BlobId,
    pub(super) shares: Vec<u16>,
    pub(super) purpose: Purpose,
    /// Where the asked node is to ask others for what it has not.
    pub(super) further: Option<Further>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A member fetches its share from this executor.
    Dispersal { executor: PublicKey },
    /// To know that the blob is available.
    Sampling,
    /// To have the blob.
    Reading,
}

/// Through which nodes a query may go on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Further {
    /// The same in all queries of one search; no node answers it twice.
    pub(super) search: u64,
    /// How long the asking node waits, in milliseconds.
    pub(super) within: u32,
}

/// The shares that a node has or got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::node) struct Found(pub(super) Vec<Share>);

impl Stored {
    pub(super) fn new(offer: &Offer, share: u16, key: &SecretKey) -> Self {
        let Offer { blob, number, .. } = *offer;
        Self { blob, number, share, signature: key.sign(&statement(blob, number, share)) }
    }

    /// Whether this member said so.
    pub(super) fn is_by(&self, member: &PublicKey) -> bool {
        member.has_signed(&statement(self.blob, self.number, self.share), &self.signature)
    }
}

fn statement(blob: BlobId, number: u64, share: u16) -> [u8; 32] {
    let mut hasher = Hasher::new("stored share");
    hasher.raw(&blob.0);
    hasher.u64(number);
    hasher.u64(share.into());
    hasher.finish()
}
