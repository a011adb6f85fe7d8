//! Configurations, each made from the one provider by name.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use thiserror::Error;

use super::provider::provider;
use super::roots::Roots;

/// What visitors may speak on top of TLS, best first.
const VISITOR_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there is no configuration. None of these depends on what a user wrote.
#[derive(Debug, Error)]
pub enum TlsConfigError {
    /// The provider does not support the versions asked for.
    #[error("the TLS provider lacks a protocol version")]
    Versions(#[source] rustls::Error),
    /// No randomness for ticket keys.
    #[error("no key for session tickets")]
    Tickets(#[source] rustls::Error),
}

/// For visitors: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, resumption by tickets that only this configuration can read.
/// No early data: it can be replayed, and upstreams are not known to bear that (RFC 8470).
///
/// # Errors
/// The system has no randomness for ticket keys.
pub fn public_server(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TlsConfigError> {
    for_visitors(resolver, &VISITOR_PROTOCOLS)
}

/// For visitors of a service that knows nothing of TLS: as [`public_server`], but without a word about what is spoken on
/// top. No protocol is chosen by ALPN (RFC 7301), so that a browser speaks HTTP/1.1 and every other client what it came for.
///
/// # Errors
/// The system has no randomness for ticket keys.
pub fn terminating_server(
    resolver: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    for_visitors(resolver, &[])
}

fn for_visitors(
    resolver: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let mut config = server(resolver, &[&TLS13, &TLS12], protocols)?;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsConfigError::Tickets)?;
    Ok(Arc::new(config))
}

/// For agents: TLS 1.3 and `protocol` only, every handshake a full one. Nothing is shared with visitors, so that a
/// session of one side cannot be resumed on the other.
///
/// # Errors
/// None that a caller can cause.
pub fn agent_server(
    resolver: Arc<dyn ResolvesServerCert>,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let mut config = server(resolver, &[&TLS13], &[protocol])?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The agent's end of [`agent_server`]. It trusts exactly `roots`.
///
/// # Errors
/// None that a caller can cause.
pub fn agent_client(roots: &Roots, protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let mut config = client(roots, &[&TLS13], &[protocol])?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// For HTTPS requests of our own: TLS 1.2 and 1.3. It trusts exactly `roots`.
///
/// # Errors
/// None that a caller can cause.
pub fn http_client(roots: &Roots, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsConfigError> {
    Ok(Arc::new(client(roots, &[&TLS13, &TLS12], protocols)?))
}

fn server(
    resolver: Arc<dyn ResolvesServerCert>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsConfigError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsConfigError::Versions)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = owned(protocols);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn client(
    roots: &Roots,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> Result<ClientConfig, TlsConfigError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsConfigError::Versions)?
        .with_root_certificates(roots.store())
        .with_no_client_auth();
    config.alpn_protocols = owned(protocols);
    Ok(config)
}

fn owned(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}
