//! Ed25519 keys, each made from a 32-byte seed.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::wire::{PublicKey, Signature};

/// A secret key: of a node, of a leader note or of a wallet account.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The key of a seed in 64 hex digits, which is how configurations hold it.
    ///
    /// # Errors
    ///
    /// Where the text is something else.
    pub fn from_hex(seed: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(seed, &mut bytes).map_err(|_| "expected a seed of 64 hex digits".to_owned())?;
        Ok(Self::from_seed(bytes))
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The seed in 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.seed())
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

impl PublicKey {
    /// Whether the signature is this key's, of this message. Keys that are no point of the curve sign nothing.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}
