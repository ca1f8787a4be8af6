//! Blobs as shares: how data is coded and committed to, so that a part of its shares restores it.
//!
//! A blob has as many shares as there are members who keep data, one for each, and [`Code::of_members`] says how
//! many of them restore it. A Merkle tree stands over the shares; the blob's id is the hash of its root, of the
//! size and of the code. A share carries its path to that root and all else that the id commits to, so that the
//! id alone tells whether a share is the blob's.
//!
//! ```
//! use logos_scenario_devnode::data::{Code, encode, restore};
//!
//! let data = vec![7; 4 * 31];
//! let encoded = encode(&data, Code::of_members(5)).unwrap();
//! let blob = encoded.commitment.blob();
//! assert_eq!(restore(blob, encoded.shares[3..].iter().cloned()).unwrap(), data);
//! assert!(restore(blob, encoded.shares[4..].iter().cloned()).is_err());
//! ```

mod merkle;
mod publication;
mod share;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::{BlobId, Digest, Hasher};
use merkle::Tree;

pub use publication::{Dispersal, publisher, signed};
pub use share::{NotTheBlobs, Share};

/// Data is a number of chunks of so many bytes each; the number is a power of two.
pub const CHUNK: usize = 31;

/// The session in which a chain begins, and the only one: its members keep all data.
pub const FIRST_SESSION: u64 = 0;

/// A share is a number of cells of so many bytes each.
const CELL: usize = 32;

/// How a blob is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code {
    /// How many shares restore a blob; the first so many are the data itself.
    pub data_shares: u16,
    /// How many shares there are.
    pub shares: u16,
}

/// All that a blob's id commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Root of the Merkle tree over the shares.
    pub root: Digest,
    /// Length of the data in bytes.
    pub size: u64,
    /// How it is coded.
    pub code: Code,
}

/// A blob's shares, in their order, and what commits to them.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// What the blob's id is the hash of.
    pub commitment: Commitment,
    /// All shares.
    pub shares: Vec<Share>,
}

impl Code {
    /// The code where so many members keep a share each: half of the shares, rounded down, restore a blob. So
    /// any one of two members may be missing, any two of three or four, any three of five.
    #[must_use]
    pub fn of_members(members: usize) -> Self {
        let shares = u16::try_from(members).unwrap_or(u16::MAX).max(1);
        Self { data_shares: (shares / 2).max(1), shares }
    }

    fn parity(self) -> usize {
        usize::from(self.shares - self.data_shares)
    }

    /// How long each share of so much data is: whole cells.
    fn length(self, size: usize) -> usize {
        size.div_ceil(self.data_shares.into()).next_multiple_of(CELL)
    }
}

impl Commitment {
    /// The blob's id.
    #[must_use]
    pub fn blob(&self) -> BlobId {
        let mut hasher = Hasher::new("blob");
        hasher.raw(&self.root.0);
        hasher.u64(self.size);
        hasher.u64(self.code.data_shares.into());
        hasher.u64(self.code.shares.into());
        BlobId(hasher.finish())
    }
}

/// The least size of at least `wanted` bytes that data can have.
#[must_use]
pub fn size(wanted: usize) -> usize {
    wanted.div_ceil(CHUNK).max(1).next_power_of_two() * CHUNK
}

/// Codes data and commits to it.
///
/// # Errors
///
/// Data of another size than [`size`] gives, with the sizes next to it.
///
/// # Panics
///
/// Never: every code of [`Code::of_members`] is one that the library has.
pub fn encode(data: &[u8], code: Code) -> Result<Encoded, String> {
    if size(data.len()) != data.len() {
        let next = size(data.len());
        let sizes = if next == CHUNK {
            format!("size is {next}")
        } else {
            format!("sizes are {} and {next}", next / 2)
        };
        return Err(format!(
            "data is a power of two of chunks of {CHUNK} bytes, these are {} bytes; the next {sizes}",
            data.len(),
        ));
    }
    let length = code.length(data.len());
    let mut padded = data.to_vec();
    padded.resize(length * usize::from(code.data_shares), 0);
    let mut columns: Vec<Vec<u8>> = padded.chunks_exact(length).map(<[u8]>::to_vec).collect();
    if code.parity() > 0 {
        let parity = reed_solomon_simd::encode(code.data_shares.into(), code.parity(), &columns);
        columns.extend(parity.expect("counts and lengths are as the library wants them"));
    }
    let tree = Tree::new((0..).zip(&columns).map(|(index, column)| share::leaf(index, column)).collect());
    let commitment = Commitment { root: tree.root(), size: data.len() as u64, code };
    let share = |(index, column)| Share::new(index, column, &commitment, tree.path(index.into()));
    Ok(Encoded { commitment, shares: (0..).zip(columns).map(share).collect() })
}

/// The data of a blob, from shares in any order and any of them more than once. Shares that are not the blob's
/// are left aside.
///
/// # Errors
///
/// The shares do not suffice; says how many are good, how many are not, and how many it takes.
pub fn restore(blob: BlobId, shares: impl IntoIterator<Item = Share>) -> Result<Vec<u8>, String> {
    let (mut good, mut bad) = (BTreeMap::new(), 0);
    for share in shares {
        match share.check(blob) {
            Ok(commitment) => drop(good.insert(share.index(), (share, commitment))),
            Err(NotTheBlobs) => bad += 1,
        }
    }
    let commitment = good.values().next().map(|(_, commitment)| *commitment);
    let Some(Commitment { size, code, .. }) =
        commitment.filter(|commitment| good.len() >= commitment.code.data_shares.into())
    else {
        let takes = commitment.map_or_else(String::new, |it| format!(", it takes {}", it.code.data_shares));
        return Err(format!("{} good shares and {bad} bad ones{takes}", good.len()));
    };
    let column = |index: u16| Some((usize::from(index), good.get(&index)?.0.column()));
    let mut missing = BTreeMap::new();
    if code.parity() > 0 {
        let data = (0..code.data_shares).filter_map(column);
        let first = usize::from(code.data_shares);
        let parity = (code.data_shares..code.shares).filter_map(column);
        let parity = parity.map(|(index, column)| (index - first, column));
        missing = reed_solomon_simd::decode(first, code.parity(), data, parity)
            .map_err(|error| format!("the id commits to shares that are no code's: {error}"))?;
    }
    let mut data = Vec::new();
    for index in 0..code.data_shares {
        match column(index) {
            Some((_, column)) => data.extend_from_slice(column),
            None => data.append(missing.get_mut(&index.into()).unwrap_or(&mut Vec::new())),
        }
    }
    data.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(data)
}

#[cfg(test)]
mod tests;
