//! TLS as visitors do it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits::STEP_WITHIN;
use crate::wait::within;

/// A TLS connection as its visitor holds it.
pub type Tls = TlsStream<TcpStream>;

/// A client that believes whom one of `certificates` vouches for, and nobody else.
pub fn believing(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate)?;
    }
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// What visitors trust.
pub fn trust(ca_file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).context("the CA file cannot be read")? {
        roots.add(certificate.context("the CA file has no certificate")?)?;
    }
    Ok(roots)
}

/// Speaks TLS on `stream` to the server of this name, which must prove it. Offers `alpn`.
pub async fn connect(stream: TcpStream, name: &str, roots: &RootCertStore, alpn: &[&str]) -> Result<Tls> {
    let mut config = trusting(roots.clone())?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned())?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    within("a TLS handshake", STEP_WITHIN, handshake).await?.context("the TLS handshake failed")
}
