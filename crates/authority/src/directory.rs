//! Who serves which endpoint, and what has changed.

use std::num::NonZeroU16;
use std::time::Duration;

use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, InstanceId, NodeId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, PortRange, Rights};
use adit_wire::capability::AgentPublicKey;
use thiserror::Error;

use crate::{BoxFuture, Unavailable};

/// The directory of endpoints.
pub trait Directory: Send + Sync + 'static {
    /// Claims an endpoint for an agent's instance, reserving its name if nobody owns it yet.
    ///
    /// # Errors
    /// See [`ClaimError`].
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, ClaimError>>;

    /// Gives an endpoint back: it is no longer served in `epoch`. A newer epoch is left as it is.
    ///
    /// # Errors
    /// Fails when nobody could be asked; the claim is then simply taken over by the next.
    fn release(&self, endpoint: EndpointId, epoch: Epoch) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// An endpoint goes on being served in `epoch`: its public port stays its own.
    ///
    /// # Errors
    /// Fails when nobody could be asked; there is time for many more tries.
    fn renew(&self, endpoint: EndpointId, epoch: Epoch) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// The kind of the endpoint with this host name, served or not. It decides between 404 and 503.
    ///
    /// # Errors
    /// Fails when nobody could be asked.
    fn kind_of<'a>(
        &'a self,
        hostname: &'a Hostname,
    ) -> BoxFuture<'a, Result<Option<EndpointKind>, Unavailable>>;

    /// What has changed after `after`, oldest first. Waits up to `patience` for a first change.
    ///
    /// # Errors
    /// Fails when nobody could be asked; the caller asks again from the same place.
    fn changes(&self, after: Sequence, patience: Duration) -> BoxFuture<'_, Result<Changes, Unavailable>>;
}

/// A place in the sequence of changes. [`Sequence::START`] asks for a full picture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Sequence(pub i64);

impl Sequence {
    /// Before the first change.
    pub const START: Self = Self(0);
}

/// A piece of the sequence of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// Where to go on from.
    pub next: Sequence,
}

/// Something that nodes must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Capabilities signed with this key are valid.
    SigningKey {
        /// The key's number, as capabilities name it.
        key_id: u32,
        /// The Ed25519 public key.
        public_key: [u8; 32],
    },
    /// Capabilities signed with this key are no longer valid.
    SigningKeyRetired {
        /// The key's number.
        key_id: u32,
    },
    /// The API key was revoked: its sessions end now and its capabilities open none.
    ApiKeyRevoked(ApiKeyId),
    /// The capability was revoked: its sessions end now and it opens none.
    CapabilityRevoked(CapabilityId),
    /// The tenant was suspended: all its sessions end now.
    TenantSuspended(TenantId),
    /// The endpoint was removed: whoever serves it in an epoch before this one ends to.
    EndpointRemoved {
        /// Which.
        endpoint: EndpointId,
        /// The first epoch in which it may be served again.
        epoch: Epoch,
    },
}

/// A request to serve an endpoint.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who asks.
    pub tenant: TenantId,
    /// With which key.
    pub api_key: ApiKeyId,
    /// What the capability allows.
    pub rights: Rights,
    /// Which name.
    pub name: RequestedName,
    /// Which public port, for kinds that have one. None: the endpoint's own, or any.
    pub port: Option<NonZeroU16>,
    /// What visitors will speak.
    pub kind: EndpointKind,
    /// Which running copy of the agent.
    pub instance: InstanceId,
    /// What that copy held before; [`Epoch::NONE`] takes over.
    pub prior_epoch: Epoch,
    /// Whether it shares the endpoint with others that do. One that pools and one that does not take over from each other.
    pub pooled: bool,
    /// The node that the agent is connected to.
    pub node: NodeId,
}

/// The name that an agent asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestedName {
    /// Exactly this one.
    Hostname(Hostname),
    /// The tenant's stable name for this agent and what it forwards to; made up at the first time.
    Default {
        /// The agent's key.
        agent: AgentPublicKey,
        /// What the agent calls its upstream; at most 64 bytes.
        label: String,
    },
}

/// An endpoint that is now served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its host name.
    pub hostname: Hostname,
    /// What visitors speak.
    pub kind: EndpointKind,
    /// The epoch in which it is served.
    pub epoch: Epoch,
    /// Its public port, for kinds that have one.
    pub port: Option<NonZeroU16>,
}

/// Why an endpoint was not claimed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClaimError {
    /// The name belongs to somebody else, or cannot be had. Which of the two is not told.
    #[error("this name is not available")]
    NotYours,
    /// The name is not one label below the domain of endpoints.
    #[error("the name must be one label below {domain}")]
    NameInvalid {
        /// The domain of endpoints.
        domain: Hostname,
    },
    /// The tenant has an endpoint of this name, on another port.
    #[error("this name has port {port}: ask for that one, or for another name")]
    OtherPort {
        /// The port that it has.
        port: NonZeroU16,
    },
    /// The installation has no endpoints of this kind.
    #[error("this server has no {kind} endpoints: whoever runs it has to give it ports for them")]
    KindNotOffered {
        /// The kind.
        kind: EndpointKind,
    },
    /// The port is not one of those for endpoints.
    #[error("the port must be one of {range}")]
    PortNotOffered {
        /// The ports for endpoints.
        range: PortRange,
    },
    /// Every port is taken.
    #[error("every public port of this server is taken")]
    NoPortFree,
    /// The tenant has as many public ports as it may.
    #[error("the tenant has {limit} public ports, as many as it may")]
    PortLimitReached {
        /// How many it may have.
        limit: u32,
    },
    /// A newer instance holds the endpoint.
    #[error("a newer agent serves this endpoint")]
    Replaced,
    /// The tenant has as many endpoints as it may.
    #[error("the tenant has {limit} endpoints, as many as it may")]
    LimitReached {
        /// How many it may have.
        limit: u32,
    },
    /// The key lacks the right.
    #[error("the API key may not do this")]
    RightMissing,
    /// The API key was revoked or the tenant suspended.
    #[error("the API key is not valid any more")]
    Revoked,
    /// Nobody could be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
