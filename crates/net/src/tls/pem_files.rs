//! A certificate and its key from PEM files.

use std::path::Path;
use std::sync::Arc;

use adit_domain::{Hostname, Secret, Timestamp};
use rustls::sign::CertifiedKey;

use super::pem::{self, PemError};
use super::provider::provider;
use super::resolve::{CertificateSource, covers};
use super::validity;

/// A certificate chain and its key. Serves whatever name is asked for: the client judges the certificate, and some take
/// what a stricter reading refuses, such as a wildcard right below `localhost`. Whoever asks several sources asks this
/// one last.
#[derive(Debug)]
pub struct PemFiles {
    key: Arc<CertifiedKey>,
}

impl PemFiles {
    /// Reads a chain (the server's own certificate first) and the key of its first certificate.
    ///
    /// # Errors
    /// Says which file is wrong, how, and what to do.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, PemError> {
        Self::load_with_key(certificate, key, &Secret::new(pem::read(key)?))
    }

    /// The same, with the content of the key's file, for those who have rules about how that is read.
    ///
    /// # Errors
    /// Says which file is wrong, how, and what to do.
    pub fn load_with_key(
        certificate: &Path,
        key: &Path,
        key_pem: &Secret<Vec<u8>>,
    ) -> Result<Self, PemError> {
        let (certificate_origin, key_origin) = (certificate.display().to_string(), key.display().to_string());
        let chain = pem::certificates(&certificate_origin, &pem::read(certificate)?)?;
        let secret = pem::private_key(&key_origin, key_pem)?;
        match CertifiedKey::from_der(chain, secret, &provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key) }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(PemError::Mismatch { certificate: certificate_origin, key: key_origin })
            }
            Err(source) => {
                Err(PemError::Unusable { certificate: certificate_origin, key: key_origin, source })
            }
        }
    }

    /// Whether the certificate is valid for `name` (RFC 9525). One that is not is served all the same.
    #[must_use]
    pub fn covers(&self, name: &Hostname) -> bool {
        covers(&self.key, name)
    }

    /// When the certificate ends, if it says so in the usual way. An expired one is served all the same; saying so is
    /// up to the caller, who knows the time.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        validity::read(self.key.cert.first()?).map(|validity| validity.not_after)
    }
}

impl CertificateSource for PemFiles {
    fn certificate(&self, _name: Option<&Hostname>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key))
    }
}
