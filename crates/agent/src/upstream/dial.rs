//! Connecting to the upstream. A connection that is dropped before it was carried to its end is reset, so that the
//! upstream cannot take what it got for the whole.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use adit_domain::UpstreamProtocol;
use adit_net::connection::Connection;
use adit_net::dial::{Dial, DialError};
use adit_net::io::{Guarded, Socket};
use adit_net::proxy_protocol::{self, ProxyVersion};
use adit_net::tls::{self, HandshakeError, Roots, TlsConfigError};
use rustls::{AlertDescription, ClientConfig};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::{Scheme, Upstream, any_certificate};
use crate::limits::UPSTREAM_DIAL;

/// What the node speaks through the agent, in ALPN.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// How to connect to one upstream.
pub(crate) struct Dialler {
    upstream: Upstream,
    network: Arc<dyn Dial>,
    tls: Option<Arc<ClientConfig>>,
    proxy_protocol: Option<ProxyVersion>,
}

/// A connection to the upstream.
pub(crate) enum Dialled {
    /// `http`.
    Plain(Guarded<Box<dyn Connection>>),
    /// `https`.
    Tls(Guarded<Box<TlsStream<Box<dyn Connection>>>>),
}

/// Why there is no connection to the upstream. It saw nothing of the visitor.
#[derive(Debug, Error)]
pub(crate) enum UpstreamDialError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// TLS, but not the HTTP in it that it was to speak.
    #[error("it does not speak the version of HTTP that it was to")]
    Protocol,
}

impl Dialler {
    /// Prepares for an upstream.
    ///
    /// A certificate of this very computer is not verified: it is self-signed as a rule, and whoever could stand in
    /// between already controls this computer. Every other one is, against the public roots.
    ///
    /// # Errors
    /// None that a user can cause.
    pub(crate) fn new(upstream: Upstream, network: Arc<dyn Dial>) -> Result<Self, TlsConfigError> {
        let protocols = [if upstream.protocol() == UpstreamProtocol::H2 { HTTP2 } else { HTTP1 }];
        let tls = match upstream.scheme() {
            Scheme::Http | Scheme::Tcp | Scheme::Tls | Scheme::Udp => None,
            Scheme::Https if upstream.is_loopback() => Some(any_certificate::client(&protocols)?),
            Scheme::Https => Some(tls::http_client(&Roots::public(), &protocols)?),
        };
        Ok(Self { upstream, network, tls, proxy_protocol: None })
    }

    /// Tells the upstream where each visitor comes from.
    pub(crate) fn proxy_protocol(self, version: Option<ProxyVersion>) -> Self {
        Self { proxy_protocol: version, ..self }
    }

    /// What the upstream hears before a visitor's first byte. The visitor connected to the node's address, which nobody
    /// tells the agent; the upstream's own stands for it. A stream without a visitor is the node's own, to try the upstream.
    pub(crate) fn first_bytes(&self, visitor: SocketAddr) -> Vec<u8> {
        let Some(version) = self.proxy_protocol else { return Vec::new() };
        if visitor.ip().is_unspecified() {
            return proxy_protocol::without_visitor(version);
        }
        let same_family = |ip: &IpAddr| ip.is_ipv4() == visitor.is_ipv4();
        let ip = self.upstream.host().parse().ok().filter(same_family).unwrap_or(match visitor {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
        proxy_protocol::header(version, visitor, SocketAddr::new(ip, self.upstream.port()))
    }

    /// The upstream.
    pub(crate) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Connects, within [`UPSTREAM_DIAL`] in all. Its name is resolved each time. `first` is what the upstream is to hear
    /// before anything else: before a TLS handshake too, so that it is written here; else it is the caller's to write.
    ///
    /// # Errors
    /// See [`UpstreamDialError`].
    pub(crate) async fn dial(&self, first: &[u8]) -> Result<Dialled, UpstreamDialError> {
        let deadline = Instant::now() + UPSTREAM_DIAL;
        let mut stream = self.network.dial(self.upstream.host(), self.upstream.port(), deadline).await?;
        let Some(config) = &self.tls else { return Ok(Dialled::Plain(Guarded::new(stream))) };
        introduce(&mut stream, first).await.map_err(HandshakeError::Io)?;
        let handshake = tls::connect(Arc::clone(config), self.upstream.host(), stream, deadline);
        let stream = handshake.await.map_err(|error| match error {
            HandshakeError::Tls(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                UpstreamDialError::Protocol
            }
            error => error.into(),
        })?;
        // Without a word about it a service speaks HTTP/1.1 (RFC 9113, section 3.2).
        if self.upstream.protocol() == UpstreamProtocol::H2
            && stream.get_ref().1.alpn_protocol() != Some(HTTP2)
        {
            return Err(UpstreamDialError::Protocol);
        }
        Ok(Dialled::Tls(Guarded::new(Box::new(stream))))
    }
}

/// Writes what the upstream is to hear first, within [`UPSTREAM_DIAL`].
///
/// # Errors
/// The upstream does not take it.
pub(crate) async fn introduce<T: Socket>(upstream: &mut T, first: &[u8]) -> io::Result<()> {
    if first.is_empty() {
        return Ok(());
    }
    let written = async {
        upstream.write_all(first).await?;
        upstream.flush().await
    };
    timeout(UPSTREAM_DIAL, written).await?
}
