//! Reading PEM, with errors that say which file, what is wrong and what to do.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use adit_domain::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::limits::PEM_BYTES_MAX;

/// Why PEM files are of no use. `origin` is the file.
#[derive(Debug, Error)]
pub enum PemError {
    /// It cannot be read.
    #[error("cannot read {origin}")]
    Read {
        /// The file.
        origin: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is too large to be a certificate or key.
    #[error("{origin} is larger than 1 MiB: is it the right file?")]
    TooLarge {
        /// The file.
        origin: String,
    },
    /// No certificate is in it.
    #[error("{origin} holds no certificate: it must contain `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// The file.
        origin: String,
    },
    /// No private key is in it.
    #[error(
        "{origin} holds no private key: it must contain `-----BEGIN PRIVATE KEY-----` (or EC, RSA), without a passphrase"
    )]
    NoKey {
        /// The file.
        origin: String,
    },
    /// Its PEM text is damaged.
    #[error("{origin} is damaged: a PEM block cannot be read, copy the file again")]
    Damaged {
        /// The file.
        origin: String,
    },
    /// The key does not belong to the certificate.
    #[error(
        "the key in {key} does not belong to the first certificate in {certificate}: give the pair that was issued together"
    )]
    Mismatch {
        /// The file with the certificate.
        certificate: String,
        /// The file with the key.
        key: String,
    },
    /// The certificate or key is of a kind that TLS here cannot use.
    #[error("the certificate in {certificate} with the key in {key} cannot be used")]
    Unusable {
        /// The file with the certificate.
        certificate: String,
        /// The file with the key.
        key: String,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A certificate that should be trusted is not valid.
    #[error("a certificate in {origin} cannot be trusted as an authority")]
    Root {
        /// The file.
        origin: String,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

/// The whole file, at most [`PEM_BYTES_MAX`] bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    let origin = || path.display().to_string();
    let bytes = read_bounded(path).map_err(|source| PemError::Read { origin: origin(), source })?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= PEM_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(PemError::TooLarge { origin: origin() })
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PEM_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The certificates in `pem`, at least one.
pub(super) fn certificates(origin: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(PemError::NoCertificate { origin: origin.to_owned() }),
        Ok(found) => Ok(found),
        Err(_damaged) => Err(PemError::Damaged { origin: origin.to_owned() }),
    }
}

/// The first private key in `pem`.
pub(super) fn private_key(origin: &str, pem: &Secret<Vec<u8>>) -> Result<PrivateKeyDer<'static>, PemError> {
    // The parser's own errors can quote what they stumbled over, which may be the key.
    match PrivateKeyDer::pem_slice_iter(pem.expose()).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(_damaged)) => Err(PemError::Damaged { origin: origin.to_owned() }),
        None => Err(PemError::NoKey { origin: origin.to_owned() }),
    }
}
