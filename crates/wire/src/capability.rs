//! The capability: 192 bytes that say what an agent may do, signed by the control plane and bound to the agent's key.
//!
//! Nodes verify it offline. Stolen alone it is worthless: the preface also asks for a signature of the agent's key over
//! the connection it arrives on.

mod keys;
mod mint;

use std::fmt;

use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, TenantId};
use adit_domain::{PlanLimits, Rights, Timestamp};
use bincode::{Decode, Encode};
use thiserror::Error;

pub use keys::{AgentKey, AgentPublicKey, KeyError};
pub use mint::{KeyRing, MintKey};

use crate::{fixed, hex};

/// Length of the signed part of a capability in bytes.
pub const CAPABILITY_BODY_LEN: usize = 128;

/// Length of an Ed25519 signature in bytes (RFC 8032, section 5.1.6).
pub const SIGNATURE_LEN: usize = 64;

/// Length of a capability in bytes, always.
pub const CAPABILITY_LEN: usize = CAPABILITY_BODY_LEN + SIGNATURE_LEN;

/// The layout of a capability that this crate speaks.
pub const CAPABILITY_VERSION: u8 = 1;

const MAGIC: [u8; 3] = *b"ACP";

/// What an agent may do, until when, and who said so.
///
/// Times travel as whole seconds (until 2106): a fraction of a second is dropped when it is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capability {
    /// Names this capability in storage and in the feed of revocations.
    pub id: CapabilityId,
    /// Whose endpoints the agent may serve.
    pub tenant: TenantId,
    /// The API key that it was made from.
    pub api_key: ApiKeyId,
    /// The key whose holder may use it.
    pub agent_public_key: AgentPublicKey,
    /// Which of the tenant's endpoints it is good for.
    pub scope: Scope,
    /// What the agent may do with them. Bits from 16 on do not travel.
    pub rights: Rights,
    /// How much of one node its tenant may use. Of a tenant's capabilities the one that was issued last counts.
    pub limits: PlanLimits,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// From when on it is worthless.
    pub expires_at: Timestamp,
    /// The tenant's revision of grants: a node that was told of a later one refuses it.
    pub revision: u16,
    /// The minting key. [`MintKey::sign`] writes its own.
    pub key_id: u32,
}

/// Which of a tenant's endpoints a capability is good for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// All of them. Sixteen zero bytes on the wire.
    Tenant,
    /// This one.
    Endpoint(EndpointId),
}

/// A capability as it travels. Nothing in it may be believed before [`KeyRing::verify`] said so.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCapability([u8; CAPABILITY_LEN]);

/// Why a capability is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CapabilityError {
    /// Not [`CAPABILITY_LEN`] bytes, or not twice as many hexadecimal digits.
    #[error("capability has the wrong length")]
    Length,
    /// It does not start as a capability does.
    #[error("capability does not start with its magic bytes")]
    Magic,
    /// A layout of another version.
    #[error("capability has version {0}")]
    Version(u8),
    /// Signed with a key that this side does not have.
    #[error("capability is signed with the unknown key {0}")]
    UnknownKey(u32),
    /// The signature is not that key's over this body.
    #[error("capability has a wrong signature")]
    Signature,
    /// The agent's public key is not a usable Ed25519 key.
    #[error("capability names an unusable agent key")]
    AgentKey,
    /// Its issue time is ahead of this side's clock by more than the skew.
    #[error("capability is not valid yet")]
    NotYetValid,
    /// Its expiry is past by at least the skew.
    #[error("capability has expired")]
    Expired,
}

impl SignedCapability {
    /// Takes 192 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; CAPABILITY_LEN]) -> Self {
        Self(bytes)
    }

    /// Takes a slice that must be 192 bytes long.
    ///
    /// # Errors
    /// [`CapabilityError::Length`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CapabilityError> {
        bytes.try_into().map(Self).map_err(|_| CapabilityError::Length)
    }

    /// Parses the 384 hexadecimal digits of the HTTP exchange.
    ///
    /// # Errors
    /// [`CapabilityError::Length`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, CapabilityError> {
        hex::decode(text).map(Self).ok_or(CapabilityError::Length)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; CAPABILITY_LEN] {
        &self.0
    }

    /// The bytes in 384 lower-case hexadecimal digits, for the HTTP exchange.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl fmt::Debug for SignedCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedCapability(…)")
    }
}

/// The signed part. The order of the fields is the layout.
#[derive(Encode, Decode)]
struct Body {
    magic: [u8; 3],
    version: u8,
    key_id: u32,
    id: [u8; 16],
    tenant: [u8; 16],
    api_key: [u8; 16],
    agent_public_key: [u8; 32],
    scope: [u8; 16],
    rights: u16,
    revision: u16,
    issued_at_s: u32,
    expires_at_s: u32,
    sessions_max: u16,
    endpoints_max: u16,
    requests_max: u16,
    connections_max: u16,
    arrivals_per_s_max: u16,
    idle_s_max: u16,
}

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Whole seconds, the fraction dropped; a time outside of the range becomes its nearer end.
fn to_seconds(time: Timestamp) -> u32 {
    let seconds = time.as_micros().div_euclid(MICROS_PER_SECOND).max(0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn from_seconds(seconds: u32) -> Timestamp {
    Timestamp::from_micros(i64::from(seconds).saturating_mul(MICROS_PER_SECOND))
}

impl Scope {
    const fn to_bytes(self) -> [u8; 16] {
        match self {
            Self::Tenant => [0; 16],
            Self::Endpoint(endpoint) => endpoint.to_bytes(),
        }
    }

    const fn from_bytes(bytes: [u8; 16]) -> Self {
        if u128::from_le_bytes(bytes) == 0 {
            Self::Tenant
        } else {
            Self::Endpoint(EndpointId::from_bytes(bytes))
        }
    }
}

impl Body {
    fn of(capability: &Capability, key_id: u32) -> Self {
        let PlanLimits {
            sessions_max,
            endpoints_max,
            requests_max,
            connections_max,
            arrivals_per_s_max,
            idle_s_max,
        } = capability.limits;
        let [low, high, ..] = capability.rights.bits().to_le_bytes();
        Self {
            magic: MAGIC,
            version: CAPABILITY_VERSION,
            key_id,
            id: capability.id.to_bytes(),
            tenant: capability.tenant.to_bytes(),
            api_key: capability.api_key.to_bytes(),
            agent_public_key: capability.agent_public_key.to_bytes(),
            scope: capability.scope.to_bytes(),
            rights: u16::from_le_bytes([low, high]),
            revision: capability.revision,
            issued_at_s: to_seconds(capability.issued_at),
            expires_at_s: to_seconds(capability.expires_at),
            sessions_max,
            endpoints_max,
            requests_max,
            connections_max,
            arrivals_per_s_max,
            idle_s_max,
        }
    }

    fn encode(&self) -> [u8; CAPABILITY_BODY_LEN] {
        fixed::encode(self)
    }

    /// Decodes and checks what can be checked without a key.
    fn decode(bytes: &[u8; CAPABILITY_BODY_LEN]) -> Result<Self, CapabilityError> {
        let body: Self = fixed::decode(bytes).ok_or(CapabilityError::Length)?;
        if body.magic != MAGIC {
            return Err(CapabilityError::Magic);
        }
        if body.version != CAPABILITY_VERSION {
            return Err(CapabilityError::Version(body.version));
        }
        Ok(body)
    }

    fn into_capability(self) -> Result<Capability, CapabilityError> {
        let agent_public_key =
            AgentPublicKey::from_bytes(self.agent_public_key).map_err(|_| CapabilityError::AgentKey)?;
        Ok(Capability {
            id: CapabilityId::from_bytes(self.id),
            tenant: TenantId::from_bytes(self.tenant),
            api_key: ApiKeyId::from_bytes(self.api_key),
            agent_public_key,
            scope: Scope::from_bytes(self.scope),
            rights: Rights::from_bits(self.rights.into()),
            limits: PlanLimits {
                sessions_max: self.sessions_max,
                endpoints_max: self.endpoints_max,
                requests_max: self.requests_max,
                connections_max: self.connections_max,
                arrivals_per_s_max: self.arrivals_per_s_max,
                idle_s_max: self.idle_s_max,
            },
            issued_at: from_seconds(self.issued_at_s),
            expires_at: from_seconds(self.expires_at_s),
            revision: self.revision,
            key_id: self.key_id,
        })
    }
}
