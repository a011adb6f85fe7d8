//! The preface: who an agent is, decided before any multiplexing exists (docs/protocol.md).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_domain::id::{InstanceId, SessionId};
use adit_net::rate::TooOften;
use adit_process::shutdown::Phase;
use adit_wire::capability::{Capability, CapabilityError};
use adit_wire::preface::{
    AGENT_PREFACE_LEN, AgentPreface, Exporter, Possession, PrefaceError, ServerPreface, Status,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{PREFACE_DEADLINE, RETRY_AFTER};
use crate::node::{Node, millis};
use crate::registry::{Entered, NoRoom};
use crate::share::TenantShare;

/// An agent that may stay.
pub(super) struct Admitted<'a> {
    pub(super) session: SessionId,
    /// Its place among the node's sessions.
    pub(super) entered: Entered<'a>,
    pub(super) capability: Capability,
    /// What its tenant may use, held to the capability.
    pub(super) share: Arc<TenantShare>,
    /// The running copy, under the agent's signature.
    pub(super) instance: InstanceId,
}

/// Why a connection did not become a session.
#[derive(Debug, Error)]
pub(super) enum PrefaceFailure {
    /// The agent did not send its whole preface in time.
    #[error("no complete preface in time")]
    Deadline,
    /// The connection broke.
    #[error("connection lost during the preface")]
    Io(#[from] std::io::Error),
    /// The agent was refused, and told why.
    #[error("refused: {0:?}")]
    Refused(Status),
}

/// Reads an agent's preface and answers it.
pub(super) async fn exchange<'a, S>(
    node: &'a Node,
    io: &mut S,
    exporter: &Exporter,
    peer: IpAddr,
) -> Result<Admitted<'a>, PrefaceFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(PREFACE_DEADLINE, async {
        let mut block = [0; AGENT_PREFACE_LEN];
        io.read_exact(&mut block).await?;
        let session = SessionId::new();
        let verdict = admit(node, &block, exporter, session, peer);
        let refusal = verdict.as_ref().err().copied();
        io.write_all(&answer(node, refusal, session).encode()).await?;
        io.flush().await?;
        match verdict {
            Ok(admitted) => Ok(admitted),
            Err(Refusal { status, .. }) => {
                io.shutdown().await?;
                Err(PrefaceFailure::Refused(status))
            }
        }
    })
    .await
    .map_err(|_| PrefaceFailure::Deadline)?
}

/// What an agent is told that may not stay.
#[derive(Clone, Copy)]
struct Refusal {
    status: Status,
    /// How long it should wait at least.
    retry_after: Duration,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, retry_after: RETRY_AFTER }
    }
}

/// What costs nothing is asked first.
fn admit<'a>(
    node: &'a Node,
    block: &[u8; AGENT_PREFACE_LEN],
    exporter: &Exporter,
    session: SessionId,
    peer: IpAddr,
) -> Result<Admitted<'a>, Refusal> {
    let (agent, possession) = AgentPreface::decode(block).map_err(PrefaceError::status)?;
    if agent.version().is_none() {
        return Err(Status::VersionUnsupported.into());
    }
    if node.shutdown.phase() > Phase::Running {
        return Err(Status::Draining.into());
    }
    if node.overload.sheds_agents() {
        return Err(Status::Overloaded.into());
    }
    node.handshakes.begin(peer).map_err(|TooOften(wait)| Refusal {
        status: Status::RateLimited,
        retry_after: wait.saturating_add(RETRY_AFTER),
    })?;
    let capability = verified(node, peer, (&agent, &possession), exporter)?;
    if node.trust.is_revoked(&capability) {
        return Err(Status::CapabilityRevoked.into());
    }
    let share = node.shares.of(&capability);
    let entered = node.agents.enter(session, &capability, &share).map_err(|NoRoom| Status::Overloaded)?;
    Ok(Admitted { session, entered, capability, share, instance: agent.instance })
}

/// Only bad signatures count against a source address.
fn verified(
    node: &Node,
    peer: IpAddr,
    (agent, possession): (&AgentPreface, &Possession),
    exporter: &Exporter,
) -> Result<Capability, Status> {
    let capability = node.trust.verify(&agent.capability, node.now()).map_err(|error| {
        if error == CapabilityError::Signature {
            node.handshakes.bad_signature(peer);
        }
        Status::from(error)
    })?;
    possession.verify(&capability.agent_public_key, exporter).map_err(|_| {
        node.handshakes.bad_signature(peer);
        Status::PossessionInvalid
    })?;
    Ok(capability)
}

fn answer(node: &Node, refusal: Option<Refusal>, session: SessionId) -> ServerPreface {
    let mux = &node.mux;
    let Refusal { status, retry_after } = refusal.unwrap_or_else(|| Status::Ok.into());
    ServerPreface {
        status,
        version: adit_wire::VERSION,
        features: 0,
        session,
        heartbeat_idle_ms: millis(mux.heartbeat_idle),
        heartbeat_dead_ms: millis(mux.heartbeat_dead),
        streams_max: u32::try_from(mux.streams_max).unwrap_or(u32::MAX),
        retry_after_ms: millis(retry_after),
        node: node.id,
    }
}
