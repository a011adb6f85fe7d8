//! The preface: one block from the agent, one from the node, before anything else of the connection exists.

mod status;

use adit_domain::id::{InstanceId, NodeId, SessionId};
use bincode::{Decode, Encode};
use thiserror::Error;

pub use status::Status;

use crate::capability::{AgentKey, AgentPublicKey, CAPABILITY_LEN, SIGNATURE_LEN, SignedCapability};
use crate::{VERSION, fixed};

/// Length of the agent's preface in bytes.
pub const AGENT_PREFACE_LEN: usize = AGENT_BLOCK_LEN + SIGNATURE_LEN;

/// Length of the node's preface in bytes.
pub const SERVER_PREFACE_LEN: usize = 96;

const AGENT_BLOCK_LEN: usize = 256;
const AGENT_MAGIC: [u8; 8] = *b"ADITAGNT";
const SERVER_MAGIC: [u8; 8] = *b"ADITNODE";

/// What the agent signs starts with this, so that the signature is good for nothing else.
const POSSESSION_DOMAIN: [u8; 24] = *b"adit/1 agent possession\0";

/// What both ends of one TLS connection know and nobody else: see [`EXPORTER_LABEL`](crate::EXPORTER_LABEL).
pub type Exporter = [u8; 32];

/// What the agent says first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentPreface {
    /// The lowest version of the protocol that the agent speaks.
    pub version_min: u16,
    /// The highest version of the protocol that the agent speaks.
    pub version_max: u16,
    /// What the agent can do beyond its versions; bits without a meaning are ignored.
    pub features: u64,
    /// What the agent may do. Not believed yet.
    pub capability: SignedCapability,
    /// This running copy of the agent.
    pub instance: InstanceId,
}

/// The proof that whoever sent a preface holds the agent's key, on this very connection. Not believed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Possession {
    block: [u8; AGENT_BLOCK_LEN],
    signature: [u8; SIGNATURE_LEN],
}

/// What the node answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerPreface {
    /// Whether there is a session now; if not, why.
    pub status: Status,
    /// The version that the session speaks; in a refusal the highest that the node speaks.
    pub version: u16,
    /// The features that both sides have.
    pub features: u64,
    /// Names the session in logs of both sides.
    pub session: SessionId,
    /// After how many milliseconds without a received byte a side sends a ping.
    pub heartbeat_idle_ms: u32,
    /// After how many milliseconds without a received byte a side gives the connection up.
    pub heartbeat_dead_ms: u32,
    /// How many data streams the node will have open at a time.
    pub streams_max: u32,
    /// In a refusal: how many milliseconds to wait at least before the next attempt; 0 says nothing.
    pub retry_after_ms: u32,
    /// The node that answered.
    pub node: NodeId,
}

/// Why a preface is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PrefaceError {
    /// It does not start as a preface does: the other side speaks something else.
    #[error("preface does not start with its magic bytes")]
    Magic,
    /// Its range of versions is empty or starts at zero.
    #[error("preface has an impossible range of versions")]
    VersionRange,
    /// The signature is not the agent's over this connection and this block.
    #[error("preface does not prove possession of the agent's key")]
    Possession,
    /// The block does not decode at all.
    #[error("preface is malformed")]
    Malformed,
}

impl PrefaceError {
    /// How the node answers.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Possession => Status::PossessionInvalid,
            Self::Magic | Self::VersionRange | Self::Malformed => Status::Malformed,
        }
    }
}

#[derive(Encode, Decode)]
struct AgentBlock {
    magic: [u8; 8],
    version_min: u16,
    version_max: u16,
    reserved: u32,
    features: u64,
    instance: [u8; 16],
    capability: [u8; CAPABILITY_LEN],
    reserved_end: [u8; 24],
}

impl AgentPreface {
    /// The bytes of this preface, signed for one connection.
    #[must_use]
    pub fn sign(&self, key: &AgentKey, exporter: &Exporter) -> [u8; AGENT_PREFACE_LEN] {
        let block: [u8; AGENT_BLOCK_LEN] = fixed::encode(&AgentBlock {
            magic: AGENT_MAGIC,
            version_min: self.version_min,
            version_max: self.version_max,
            reserved: 0,
            features: self.features,
            instance: self.instance.to_bytes(),
            capability: *self.capability.as_bytes(),
            reserved_end: [0; 24],
        });
        let signature = key.sign(&signed_by_agent(exporter, &block));
        let mut bytes = [0; AGENT_PREFACE_LEN];
        bytes.iter_mut().zip(block.iter().chain(&signature)).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The preface in these bytes, and the proof that is to be checked with the capability's key.
    ///
    /// Reserved bytes are ignored, since an agent of a later version may use them; its signature covers them.
    ///
    /// # Errors
    /// [`PrefaceError::Magic`] or [`PrefaceError::VersionRange`].
    pub fn decode(bytes: &[u8; AGENT_PREFACE_LEN]) -> Result<(Self, Possession), PrefaceError> {
        let (block, rest) = bytes.split_first_chunk::<AGENT_BLOCK_LEN>().ok_or(PrefaceError::Malformed)?;
        let signature = rest.first_chunk::<SIGNATURE_LEN>().ok_or(PrefaceError::Malformed)?;
        let fields: AgentBlock = fixed::decode(block).ok_or(PrefaceError::Malformed)?;
        if fields.magic != AGENT_MAGIC {
            return Err(PrefaceError::Magic);
        }
        if fields.version_min == 0 || fields.version_min > fields.version_max {
            return Err(PrefaceError::VersionRange);
        }
        let preface = Self {
            version_min: fields.version_min,
            version_max: fields.version_max,
            features: fields.features,
            capability: SignedCapability::from_bytes(fields.capability),
            instance: InstanceId::from_bytes(fields.instance),
        };
        Ok((preface, Possession { block: *block, signature: *signature }))
    }

    /// The version that both sides speak, if there is one.
    #[must_use]
    pub fn version(&self) -> Option<u16> {
        (self.version_min..=self.version_max).contains(&VERSION).then_some(VERSION)
    }
}

impl Possession {
    /// Checks that the holder of `key` signed this very block on the connection with this `exporter`.
    ///
    /// `key` comes from a capability that was verified, never from elsewhere.
    ///
    /// # Errors
    /// [`PrefaceError::Possession`].
    pub fn verify(&self, key: &AgentPublicKey, exporter: &Exporter) -> Result<(), PrefaceError> {
        let proven = key.verifies(&signed_by_agent(exporter, &self.block), &self.signature);
        if proven { Ok(()) } else { Err(PrefaceError::Possession) }
    }
}

fn signed_by_agent(exporter: &Exporter, block: &[u8; AGENT_BLOCK_LEN]) -> Vec<u8> {
    [POSSESSION_DOMAIN.as_slice(), exporter, block].concat()
}

#[derive(Encode, Decode)]
struct ServerBlock {
    magic: [u8; 8],
    status: u16,
    version: u16,
    retry_after_ms: u32,
    features: u64,
    heartbeat_idle_ms: u32,
    heartbeat_dead_ms: u32,
    streams_max: u32,
    reserved: u32,
    session: [u8; 16],
    node: [u8; 16],
    reserved_end: [u8; 24],
}

impl ServerPreface {
    /// A refusal: there is no session, and the node closes the connection after these bytes.
    #[must_use]
    pub const fn refusal(status: Status, retry_after_ms: u32, node: NodeId) -> Self {
        Self {
            status,
            version: VERSION,
            features: 0,
            session: SessionId::from_bytes([0; 16]),
            heartbeat_idle_ms: 0,
            heartbeat_dead_ms: 0,
            streams_max: 0,
            retry_after_ms,
            node,
        }
    }

    /// The bytes of this preface.
    #[must_use]
    pub fn encode(&self) -> [u8; SERVER_PREFACE_LEN] {
        fixed::encode(&ServerBlock {
            magic: SERVER_MAGIC,
            status: self.status.code(),
            version: self.version,
            retry_after_ms: self.retry_after_ms,
            features: self.features,
            heartbeat_idle_ms: self.heartbeat_idle_ms,
            heartbeat_dead_ms: self.heartbeat_dead_ms,
            streams_max: self.streams_max,
            reserved: 0,
            session: self.session.to_bytes(),
            node: self.node.to_bytes(),
            reserved_end: [0; 24],
        })
    }

    /// The preface in these bytes. Reserved bytes are ignored, since a later node may use them.
    ///
    /// # Errors
    /// [`PrefaceError::Magic`].
    pub fn decode(bytes: &[u8; SERVER_PREFACE_LEN]) -> Result<Self, PrefaceError> {
        let fields: ServerBlock = fixed::decode(bytes).ok_or(PrefaceError::Malformed)?;
        if fields.magic != SERVER_MAGIC {
            return Err(PrefaceError::Magic);
        }
        Ok(Self {
            status: Status::from_code(fields.status),
            version: fields.version,
            features: fields.features,
            session: SessionId::from_bytes(fields.session),
            heartbeat_idle_ms: fields.heartbeat_idle_ms,
            heartbeat_dead_ms: fields.heartbeat_dead_ms,
            streams_max: fields.streams_max,
            retry_after_ms: fields.retry_after_ms,
            node: NodeId::from_bytes(fields.node),
        })
    }
}
