//! The preface: who an agent is, decided before any multiplexing exists (docs/protocol.md).

use adit_domain::id::{InstanceId, SessionId};
use adit_process::shutdown::Phase;
use adit_wire::capability::{Capability, CapabilityError};
use adit_wire::preface::{AGENT_PREFACE_LEN, AgentPreface, Exporter, PrefaceError, ServerPreface, Status};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{PREFACE_DEADLINE, RETRY_AFTER};
use crate::node::{Node, millis};
use crate::registry::{Entered, NoRoom};

/// An agent that may stay.
pub(super) struct Admitted<'a> {
    pub(super) session: SessionId,
    /// Its place among the node's sessions.
    pub(super) entered: Entered<'a>,
    pub(super) capability: Capability,
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
) -> Result<Admitted<'a>, PrefaceFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(PREFACE_DEADLINE, async {
        let mut block = [0; AGENT_PREFACE_LEN];
        io.read_exact(&mut block).await?;
        let session = SessionId::new();
        let verdict = admit(node, &block, exporter, session);
        let status = verdict.as_ref().map_or_else(|status| *status, |_| Status::Ok);
        io.write_all(&answer(node, status, session).encode()).await?;
        io.flush().await?;
        match verdict {
            Ok(admitted) => Ok(admitted),
            Err(status) => {
                io.shutdown().await?;
                Err(PrefaceFailure::Refused(status))
            }
        }
    })
    .await
    .map_err(|_| PrefaceFailure::Deadline)?
}

fn admit<'a>(
    node: &'a Node,
    block: &[u8; AGENT_PREFACE_LEN],
    exporter: &Exporter,
    session: SessionId,
) -> Result<Admitted<'a>, Status> {
    let (agent, possession) = AgentPreface::decode(block).map_err(PrefaceError::status)?;
    if agent.version().is_none() {
        return Err(Status::VersionUnsupported);
    }
    let capability = node.trust.verify(&agent.capability, node.now()).map_err(|e| match e {
        CapabilityError::Expired => Status::CapabilityExpired,
        _ => Status::CapabilityInvalid,
    })?;
    possession.verify(&capability.agent_public_key, exporter).map_err(|_| Status::PossessionInvalid)?;
    if node.trust.is_revoked(&capability) {
        return Err(Status::CapabilityRevoked);
    }
    let entered = node.agents.enter(session, &capability).map_err(|NoRoom| Status::Overloaded)?;
    if node.shutdown.phase() > Phase::Running {
        return Err(Status::Draining);
    }
    Ok(Admitted { session, entered, capability, instance: agent.instance })
}

fn answer(node: &Node, status: Status, session: SessionId) -> ServerPreface {
    let mux = &node.mux;
    ServerPreface {
        status,
        version: adit_wire::VERSION,
        features: 0,
        session,
        heartbeat_idle_ms: millis(mux.heartbeat_idle),
        heartbeat_dead_ms: millis(mux.heartbeat_dead),
        streams_max: u32::try_from(mux.streams_max).unwrap_or(u32::MAX),
        retry_after_ms: millis(RETRY_AFTER),
        node: node.id,
    }
}
