//! Which certificate answers which name.

use std::fmt::Debug;
use std::sync::Arc;

use adit_domain::Hostname;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Something that has certificates: files, the development CA, issued ones.
pub trait CertificateSource: Debug + Send + Sync {
    /// The certificate for `name`, or for a client that names nobody. `None` leaves the answer to the next source.
    /// Called in the middle of a handshake: it must not wait.
    fn certificate(&self, name: Option<&Hostname>) -> Option<Arc<CertifiedKey>>;
}

/// Asks its sources in order; the first that has a certificate answers. If none has, the handshake fails.
#[derive(Debug)]
pub struct Resolver(Vec<Arc<dyn CertificateSource>>);

impl Resolver {
    /// In the order given.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn CertificateSource>>) -> Arc<Self> {
        Arc::new(Self(sources))
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = match name {
            Some(text) => Some(Hostname::parse(text).ok()?),
            None => None,
        };
        self.0.iter().find_map(|source| source.certificate(name.as_ref()))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

/// Whether the certificate is valid for `name` (RFC 9525).
pub(super) fn covers(key: &CertifiedKey, name: &Hostname) -> bool {
    let certificate = key.cert.first().and_then(|der| ParsedCertificate::try_from(der).ok());
    let name = ServerName::try_from(name.as_str()).ok();
    certificate.zip(name).is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
}
