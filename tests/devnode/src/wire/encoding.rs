//! The binary encoding that is hashed, and byte arrays as JSON arrays of integers.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};

/// Blake2b-256 over the binary encoding of a thing.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: Blake2b<U32>,
    length: usize,
}

impl Hasher {
    /// Begins with the name of the kind of thing, so that no two kinds have the same hash.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        let mut hasher = Self::plain();
        hasher.bytes(kind.as_bytes());
        hasher.length = 0;
        hasher
    }

    /// Begins with nothing.
    pub(crate) fn plain() -> Self {
        Self { state: Blake2b::new(), length: 0 }
    }

    /// Adds bytes whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len();
    }

    /// Adds bytes behind their `u32` length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.raw(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.raw(bytes);
    }

    /// Adds the `u8` count of a list. Longer lists are valid nowhere; they count as 255.
    pub fn count(&mut self, count: usize) {
        self.raw(&[u8::try_from(count).unwrap_or(u8::MAX)]);
    }

    /// Adds an integer.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// How many bytes were added behind the name.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The hash.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.state.finalize().into()
    }
}

/// A byte array as a JSON array of integers, for `#[serde(with)]`.
pub(crate) mod ints {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(crate) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        bytes.try_into().map_err(|bytes: Vec<u8>| {
            D::Error::invalid_length(bytes.len(), &format!("an array of {N} bytes").as_str())
        })
    }
}
