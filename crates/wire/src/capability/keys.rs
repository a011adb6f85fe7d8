//! The agent's own key pair. The secret half never leaves the agent.

use std::fmt;

use adit_domain::Secret;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use super::SIGNATURE_LEN;
use crate::hex;

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Randomness,
    /// The bytes are not a public key of Ed25519, or one of those that accept anybody's signature.
    #[error("not a usable Ed25519 public key")]
    Invalid,
    /// Not 64 hexadecimal digits.
    #[error("a public key is 64 hexadecimal digits")]
    Text,
    /// The ring already has another key under this id.
    #[error("key {0} is already known with another public key")]
    Conflict(u32),
    /// The ring has as many keys as it may.
    #[error("the ring of minting keys is full")]
    Full,
}

/// An agent's key pair (Ed25519, RFC 8032). Wiped when it is dropped.
#[derive(Clone)]
pub struct AgentKey(SigningKey);

impl AgentKey {
    /// A fresh key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self::from_seed(random_seed()?.expose()))
    }

    /// The key with this seed. The seed is the secret: keep it in a file with mode 0600.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to keep it.
    #[must_use]
    pub fn seed(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> AgentPublicKey {
        AgentPublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentKey(…)")
    }
}

/// The public half of an agent's key: a point of Ed25519 that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AgentPublicKey(VerifyingKey);

impl AgentPublicKey {
    /// Parses 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Invalid`] if they are no point of the curve, or one of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        parse(&bytes).map(Self)
    }

    /// Parses the 64 hexadecimal digits of the HTTP exchange.
    ///
    /// # Errors
    /// [`KeyError::Text`] or [`KeyError::Invalid`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(hex::decode(text).ok_or(KeyError::Text)?)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The bytes in 64 lower-case hexadecimal digits, for the HTTP exchange.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0.as_bytes())
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        verifies(&self.0, message, signature)
    }
}

impl fmt::Debug for AgentPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentPublicKey({})", self.to_hex())
    }
}

pub(super) fn random_seed() -> Result<Secret<[u8; 32]>, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| KeyError::Randomness)?;
    Ok(Secret::new(seed))
}

/// A public key that is a point of the curve and not of small order, which would accept anybody's signature.
pub(super) fn parse(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).ok_or(KeyError::Invalid)
}

/// `verify_strict`, never `verify`: with the latter one body has more than one signature.
pub(super) fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}
