//! From a node's address to a connection on which the mux can begin: TCP, TLS, preface.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use adit_api::capability::NodeAddress;
use adit_net::connection::Connection;
use adit_net::dial::DialError;
use adit_net::io::Buffered;
use adit_net::tls::{self, HandshakeError};
use adit_wire::preface::{AgentPreface, PrefaceError, SERVER_PREFACE_LEN, ServerPreface, Status};
use adit_wire::{EXPORTER_LABEL, VERSION};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::event::Reason;
use crate::exit::ExitStatus;
use crate::grant::Grant;
use crate::identity::Identity;
use crate::limits::{PREFACE, SERVER_DIAL, TLS_HANDSHAKE};
use crate::setback::{Refusal, Setback, Verdict, chain};

/// The connection under the mux.
pub(crate) type LinkIo = TlsStream<Buffered<Box<dyn Connection>>>;

/// A node that has said yes.
pub(crate) struct Link {
    /// The connection, past the preface.
    pub(crate) io: LinkIo,
    /// What the node said.
    pub(crate) preface: ServerPreface,
}

/// Why a node gave no session.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// TLS without the secret that the preface is bound to.
    #[error("the connection has no exporter")]
    Exporter,
    /// The connection broke within the preface.
    #[error("the node broke off the preface")]
    Broken(#[source] io::Error),
    /// No answer to the preface in time.
    #[error("the node did not answer the preface in time")]
    Deadline,
    /// An answer that is no preface.
    #[error(transparent)]
    Preface(#[from] PrefaceError),
    /// The node said no.
    #[error("the node refused: {status}")]
    Refused {
        /// Why.
        status: Status,
        /// What it asks for; zero if nothing.
        retry_after: Duration,
    },
}

/// Connects to a node and shows it the capability.
///
/// # Errors
/// See [`ConnectError`].
pub(crate) async fn connect(
    node: &NodeAddress,
    grant: &Grant,
    identity: &Identity,
) -> Result<Link, ConnectError> {
    let stream = identity.network.dial(&node.host, node.port, Instant::now() + SERVER_DIAL).await?;
    stream.tune_agent_link();
    let stream = Buffered::new(stream);
    let deadline = Instant::now() + TLS_HANDSHAKE;
    let mut io = tls::connect(Arc::clone(&grant.tls), &node.sni, stream, deadline).await?;
    let exporter = tls::exporter(io.get_ref().1, EXPORTER_LABEL).map_err(|_| ConnectError::Exporter)?;
    let preface = AgentPreface {
        version_min: VERSION,
        version_max: VERSION,
        features: 0,
        capability: grant.capability.clone(),
        instance: identity.instance,
    };
    let block = preface.sign(&identity.agent_key, &exporter);
    let preface = match timeout(PREFACE, shake(&mut io, &block)).await {
        Ok(answer) => ServerPreface::decode(&answer.map_err(ConnectError::Broken)?)?,
        Err(_elapsed) => return Err(ConnectError::Deadline),
    };
    if preface.status != Status::Ok {
        let retry_after = Duration::from_millis(preface.retry_after_ms.into());
        return Err(ConnectError::Refused { status: preface.status, retry_after });
    }
    Ok(Link { io, preface })
}

async fn shake(io: &mut LinkIo, block: &[u8]) -> io::Result<[u8; SERVER_PREFACE_LEN]> {
    io.write_all(block).await?;
    io.flush().await?;
    let mut answer = [0; SERVER_PREFACE_LEN];
    io.read_exact(&mut answer).await?;
    Ok(answer)
}

impl ConnectError {
    /// Whether nothing but a new capability helps.
    pub(crate) const fn wants_new_capability(&self) -> bool {
        matches!(self, Self::Refused { status, .. }
            if status.wants_new_capability() || matches!(status, Status::CapabilityRevoked))
    }

    /// What it means for the next try.
    pub(crate) fn verdict(self, node: &NodeAddress) -> Verdict {
        let name = format!("{}:{}", node.host, node.port);
        match self {
            Self::Dial(error) => error.into(),
            Self::Tls(error) => handshake_setback(&error, &node.sni).into(),
            Self::Broken(error) => {
                Setback::new(Reason::Unreachable, format!("{name} broke off the connection: {error}")).into()
            }
            Self::Deadline => {
                Setback::new(Reason::Unreachable, format!("{name} did not answer in time")).into()
            }
            Self::Exporter | Self::Preface(_) => {
                Setback::new(Reason::Protocol, format!("{name} does not answer as a node does")).into()
            }
            Self::Refused { status, retry_after } => refused(status, retry_after, &name),
        }
    }
}

fn refused(status: Status, retry_after: Duration, name: &str) -> Verdict {
    let (reason, message) = match status {
        Status::CapabilityRevoked => return Setback::revoked().into(),
        Status::VersionUnsupported => {
            let message = "the server does not speak this agent's version of the protocol";
            let advice = format!(
                "This is adit {}. Install the version that the server asks for.",
                env!("CARGO_PKG_VERSION")
            );
            return Refusal::new(ExitStatus::Refused, message, advice).into();
        }
        Status::PossessionInvalid | Status::Malformed => {
            let message = format!("the node refused the agent's preface ({status})");
            let advice =
                "Check that nothing between here and the server opens TLS, and that adit is up to date.";
            return Refusal::new(ExitStatus::Refused, message, advice).into();
        }
        Status::CapabilityInvalid | Status::CapabilityExpired => {
            (Reason::CapabilityRefused, format!("{name} did not accept the capability ({status})"))
        }
        Status::Draining => (Reason::Draining, format!("{name} is shutting down")),
        _ => (Reason::Unavailable, format!("{name} has no room now ({status})")),
    };
    Setback::new(reason, message).retry_after(retry_after).into()
}

/// TLS that failed because of the certificate is told apart: waiting alone will not help, but a file might.
pub(crate) fn handshake_setback(error: &HandshakeError, name: &str) -> Setback {
    let text = chain(error);
    match error {
        HandshakeError::Certificate(_) => {
            let advice = "If the server is yours, name its CA with --ca-file or ADIT_CA_FILE.";
            Setback::new(Reason::Untrusted, format!("{name}: {text}. {advice}"))
        }
        _ => Setback::new(Reason::Unreachable, format!("no TLS with {name}: {text}")),
    }
}
