//! Whom a client trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;

use super::pem::{self, PemError};

/// The certificate authorities that a client trusts, and no others.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// The authorities that browsers trust, as Mozilla publishes them.
    #[must_use]
    pub fn public() -> Self {
        let anchors = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Self(Arc::new(RootCertStore { roots: anchors.collect() }))
    }

    /// Exactly the certificates in a PEM file.
    ///
    /// # Errors
    /// The file cannot be read or holds no usable certificate.
    pub fn from_file(path: &Path) -> Result<Self, PemError> {
        Self::from_pem(&path.display().to_string(), &pem::read(path)?)
    }

    /// Exactly the certificates in `text`, PEM; `origin` says in errors where it came from.
    ///
    /// # Errors
    /// It holds no usable certificate.
    pub fn from_pem(origin: &str, text: &[u8]) -> Result<Self, PemError> {
        let mut store = RootCertStore::empty();
        for certificate in pem::certificates(origin, text)? {
            store.add(certificate).map_err(|source| PemError::Root { origin: origin.to_owned(), source })?;
        }
        Ok(Self(Arc::new(store)))
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}
