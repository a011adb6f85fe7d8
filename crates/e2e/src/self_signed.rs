//! Services that prove who they are by a certificate of their own.

use std::sync::Arc;

use anyhow::{Error, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::tls::believing;

/// A certificate that nobody vouches for, and its key.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    server: ServerConfig,
    certificate: CertificateDer<'static>,
}

impl SelfSigned {
    /// One for the service of this name.
    pub fn new(name: &str) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()])?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(Error::msg)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let certificate = cert.der().clone();
        let server = server.with_no_client_auth().with_single_cert(vec![certificate.clone()], key)?;
        Ok(Self { server, certificate })
    }

    /// The service's side, which speaks one of `alpn` where there are any.
    #[must_use]
    pub fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        let mut server = self.server.clone();
        server.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(server))
    }

    /// The visitor's side, which believes this certificate and no other.
    pub fn connector(&self) -> Result<TlsConnector> {
        Ok(TlsConnector::from(Arc::new(believing([self.certificate.clone()])?)))
    }

    /// What a visitor must believe.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}
