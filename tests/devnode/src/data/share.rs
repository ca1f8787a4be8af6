//! One share of a blob. In JSON it has the shape of production's, with the Merkle path as its proof.

use serde::{Deserialize, Serialize};

use super::{CELL, Code, Commitment, merkle};
use crate::wire::{BlobId, Digest, Hasher};

/// One share of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    share_idx: u16,
    #[serde(with = "cells")]
    column: Vec<u8>,
    combined_column_proof: Proof,
}

/// What leads from a share to the blob's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proof {
    blob_size: u64,
    #[serde(flatten)]
    code: Code,
    #[serde(with = "hashes")]
    path: Vec<Digest>,
}

/// A share is none of the blob's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the share is none of the blob's")]
pub struct NotTheBlobs;

impl Share {
    pub(super) fn new(index: u16, column: Vec<u8>, commitment: &Commitment, path: Vec<Digest>) -> Self {
        let Commitment { size, code, .. } = *commitment;
        Self { share_idx: index, column, combined_column_proof: Proof { blob_size: size, code, path } }
    }

    /// Its place among the blob's shares.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.share_idx
    }

    /// How many bytes of data it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.column.len()
    }

    pub(super) fn column(&self) -> &[u8] {
        &self.column
    }

    /// What this share says that the blob's id commits to, if it is a share of that blob.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn check(&self, blob: BlobId) -> Result<Commitment, NotTheBlobs> {
        let Proof { blob_size: size, code, ref path } = self.combined_column_proof;
        if code.data_shares == 0 || code.data_shares > code.shares {
            return Err(NotTheBlobs);
        }
        let leaf = leaf(self.share_idx, &self.column);
        let root = merkle::root(leaf, self.share_idx.into(), code.shares.into(), path).ok_or(NotTheBlobs)?;
        let commitment = Commitment { root, size, code };
        if commitment.blob() == blob { Ok(commitment) } else { Err(NotTheBlobs) }
    }

    /// The same with another first byte: it is not the blob's any more.
    #[must_use]
    pub fn corrupted(mut self) -> Self {
        if let Some(first) = self.column.first_mut() {
            *first ^= 1;
        }
        self
    }
}

pub(super) fn leaf(index: u16, column: &[u8]) -> Digest {
    let mut hasher = Hasher::new("share");
    hasher.u64(index.into());
    hasher.bytes(column);
    Digest(hasher.finish())
}

/// Bytes for machines, and for people an array of cells, each of them an array of integers.
mod cells {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::CELL;

    pub(super) fn serialize<S: Serializer>(column: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_seq(column.as_chunks::<CELL>().0);
        }
        serde_bytes::serialize(column, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            return Ok(Vec::<[u8; CELL]>::deserialize(deserializer)?.into_flattened());
        }
        serde_bytes::deserialize(deserializer)
    }
}

/// Arrays of integers.
mod hashes {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::wire::Digest;

    pub(super) fn serialize<S: Serializer>(path: &[Digest], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(path.iter().map(|digest| digest.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Digest>, D::Error> {
        Ok(Vec::<[u8; 32]>::deserialize(deserializer)?.into_iter().map(Digest).collect())
    }
}

const _: () = assert!(CELL == 32, "production's cells have 32 bytes");
