//! Signing capabilities, which the control plane does, and verifying them, which nodes do.

use std::collections::BTreeMap;
use std::fmt;

use adit_domain::{Secret, Timestamp};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::keys::{parse, random_seed, verifies};
use super::{
    Body, CAPABILITY_BODY_LEN, Capability, CapabilityError, KeyError, SIGNATURE_LEN, SignedCapability,
};
use crate::limits::{CLOCK_SKEW_MAX, KEY_RING_KEYS_MAX};

/// What is signed starts with this, so that the signature is good for nothing else.
const DOMAIN: [u8; 19] = *b"adit/1 capability\0\0";

/// A key that signs capabilities. Only the control plane has it. Wiped when it is dropped.
#[derive(Clone)]
pub struct MintKey {
    key_id: u32,
    key: SigningKey,
}

impl MintKey {
    /// A fresh key from the operating system's randomness, under this id.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate(key_id: u32) -> Result<Self, KeyError> {
        Ok(Self::from_seed(key_id, random_seed()?.expose()))
    }

    /// The key with this id and this secret seed.
    #[must_use]
    pub fn from_seed(key_id: u32, seed: &[u8; 32]) -> Self {
        Self { key_id, key: SigningKey::from_bytes(seed) }
    }

    /// The seed, to store it.
    #[must_use]
    pub fn seed(&self) -> Secret<[u8; 32]> {
        Secret::new(self.key.to_bytes())
    }

    /// The id and the public half, for [`KeyRing::insert`].
    #[must_use]
    pub fn public(&self) -> (u32, [u8; 32]) {
        (self.key_id, self.key.verifying_key().to_bytes())
    }

    /// Signs a capability, with this key's id in place of the one it has.
    #[must_use]
    pub fn sign(&self, capability: &Capability) -> SignedCapability {
        let body = Body::of(capability, self.key_id).encode();
        let signature = self.key.sign(&message(&body)).to_bytes();
        SignedCapability(join(&body, &signature))
    }
}

impl fmt::Debug for MintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The public halves of the minting keys that a node believes, by id.
#[derive(Clone, Default, Debug)]
pub struct KeyRing {
    keys: BTreeMap<u32, VerifyingKey>,
}

impl KeyRing {
    /// A ring without keys, which refuses everything.
    #[must_use]
    pub const fn new() -> Self {
        Self { keys: BTreeMap::new() }
    }

    /// Adds a key. Adding the same one again changes nothing.
    ///
    /// # Errors
    /// [`KeyError::Invalid`], [`KeyError::Conflict`], or [`KeyError::Full`] at [`KEY_RING_KEYS_MAX`] keys.
    pub fn insert(&mut self, key_id: u32, public: [u8; 32]) -> Result<(), KeyError> {
        let key = parse(&public)?;
        match self.keys.get(&key_id) {
            Some(known) if *known == key => Ok(()),
            Some(_) => Err(KeyError::Conflict(key_id)),
            None if self.keys.len() >= KEY_RING_KEYS_MAX => Err(KeyError::Full),
            None => {
                self.keys.insert(key_id, key);
                Ok(())
            }
        }
    }

    /// Forgets a key; what it signed is refused from now on.
    pub fn remove(&mut self, key_id: u32) {
        self.keys.remove(&key_id);
    }

    /// Believes a capability or says why not: magic and version, key id, signature, the agent's key, time.
    ///
    /// Whether it was revoked is for the caller to know.
    ///
    /// # Errors
    /// The first of those checks that fails.
    pub fn verify(&self, signed: &SignedCapability, now: Timestamp) -> Result<Capability, CapabilityError> {
        let (bytes, signature) = split(&signed.0)?;
        let body = Body::decode(bytes)?;
        let key = self.keys.get(&body.key_id).ok_or(CapabilityError::UnknownKey(body.key_id))?;
        if !verifies(key, &message(bytes), signature) {
            return Err(CapabilityError::Signature);
        }
        let capability = body.into_capability()?;
        if now < capability.issued_at.minus(CLOCK_SKEW_MAX) {
            return Err(CapabilityError::NotYetValid);
        }
        if now >= capability.expires_at.plus(CLOCK_SKEW_MAX) {
            return Err(CapabilityError::Expired);
        }
        Ok(capability)
    }
}

fn message(body: &[u8; CAPABILITY_BODY_LEN]) -> Vec<u8> {
    [DOMAIN.as_slice(), body.as_slice()].concat()
}

fn join(body: &[u8; CAPABILITY_BODY_LEN], signature: &[u8; SIGNATURE_LEN]) -> [u8; super::CAPABILITY_LEN] {
    let mut bytes = [0; super::CAPABILITY_LEN];
    let parts = body.iter().chain(signature);
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    bytes
}

type Split<'a> = (&'a [u8; CAPABILITY_BODY_LEN], &'a [u8; SIGNATURE_LEN]);

fn split(bytes: &[u8; super::CAPABILITY_LEN]) -> Result<Split<'_>, CapabilityError> {
    let (body, rest) = bytes.split_first_chunk().ok_or(CapabilityError::Length)?;
    let signature = rest.first_chunk().ok_or(CapabilityError::Length)?;
    Ok((body, signature))
}
