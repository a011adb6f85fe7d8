//! Handshakes with a deadline, and the value that both ends of a connection share.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConnectionCommon, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Why a handshake failed.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// It was not finished in time.
    #[error("the TLS handshake was not finished in time")]
    Deadline,
    /// The host is neither a host name nor an IP address, so no certificate can be checked against it.
    #[error("{0} is not a host name")]
    Host(String),
    /// The server's certificate is not trusted, expired, or of another name.
    #[error("the server's certificate is not accepted")]
    Certificate(#[source] rustls::Error),
    /// The two ends do not agree, or one of them misbehaved.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
}

impl From<io::Error> for HandshakeError {
    /// tokio-rustls hides what TLS says in an I/O error.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(reason @ rustls::Error::InvalidCertificate(_)) => Self::Certificate(reason.clone()),
            Some(reason) => Self::Tls(reason.clone()),
            None => Self::Io(error),
        }
    }
}

/// The server's side of a handshake, finished before `deadline`. Share one deadline with [`crate::hello::peek`].
///
/// # Errors
/// See [`HandshakeError`]; the connection is closed.
pub async fn accept<T>(
    config: Arc<ServerConfig>,
    io: T,
    deadline: Instant,
) -> Result<server::TlsStream<T>, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(config).accept(io);
    Ok(timeout_at(deadline, handshake).await.map_err(|_elapsed| HandshakeError::Deadline)??)
}

/// The client's side of a handshake, finished before `deadline`. The certificate must be valid for `host`, a name or
/// an IP address.
///
/// # Errors
/// See [`HandshakeError`]; the connection is closed.
pub async fn connect<T>(
    config: Arc<ClientConfig>,
    host: &str,
    io: T,
    deadline: Instant,
) -> Result<client::TlsStream<T>, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let name =
        ServerName::try_from(bare.to_owned()).map_err(|_invalid| HandshakeError::Host(host.to_owned()))?;
    let handshake = TlsConnector::from(config).connect(name, io);
    Ok(timeout_at(deadline, handshake).await.map_err(|_elapsed| HandshakeError::Deadline)??)
}

/// 32 bytes that only the two ends of this one connection know, under `label` and without a context (RFC 8446,
/// section 7.5; RFC 9266 for the idea). Whoever signs them has signed this connection.
///
/// # Errors
/// The handshake is not finished.
pub fn exporter<D>(connection: &ConnectionCommon<D>, label: &[u8]) -> Result<[u8; 32], rustls::Error> {
    connection.export_keying_material([0; 32], label, None)
}
