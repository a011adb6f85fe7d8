//! A certificate authority for development: made by the first start, trusted by whoever is given its file, gone
//! after seven days.

mod leaves;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_domain::{Hostname, Secret, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use thiserror::Error;

use super::pem::{self, PemError, certificates};
use super::private_file;
use super::validity::{self, Validity};
use crate::limits::{DEV_CA_LIFETIME, DEV_CA_REMAINING_MIN};
pub use leaves::DevLeaves;

/// What clients are given to trust.
const CERTIFICATE_FILE: &str = "dev-ca.pem";
/// The authority itself: certificate and key in one file, so that they cannot be of different ages.
const AUTHORITY_FILE: &str = "dev-ca-key.pem";
/// How far a client's clock may be behind.
const CLOCK_SKEW: Duration = Duration::from_hours(1);

/// Why there is no development CA.
#[derive(Debug, Error)]
pub enum DevCaError {
    /// Its folder or files cannot be written.
    #[error("cannot write the development CA to {path}")]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its files cannot be read.
    #[error("cannot read the development CA")]
    Read(#[source] PemError),
    /// A certificate cannot be made.
    #[error("cannot make a certificate of the development CA")]
    Make(#[source] rcgen::Error),
    /// The clock is so far off that no period of validity can be written.
    #[error("the clock of this machine is out of range")]
    Clock,
}

/// The development CA, on disk and in memory.
#[derive(Debug)]
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
    certificate: PathBuf,
}

impl DevCa {
    /// The authority in `folder`. It is made if there is none, or if what is there is damaged or has less than a day
    /// left at `now`. Its files can be read by their owner only.
    ///
    /// # Errors
    /// The folder cannot be written to, or holds files that cannot be read.
    pub fn create_or_load(folder: &Path, now: Timestamp) -> Result<Self, DevCaError> {
        private_file::make_folder(folder)
            .map_err(|source| DevCaError::Write { path: folder.to_owned(), source })?;
        let authority = folder.join(AUTHORITY_FILE);
        let certificate = folder.join(CERTIFICATE_FILE);
        let stored = match pem::read(&authority) {
            Ok(bytes) => parse(&Secret::new(bytes)),
            Err(PemError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(DevCaError::Read(error)),
        };
        let usable = stored.filter(|stored| stored.validity.not_after > now.plus(DEV_CA_REMAINING_MIN));
        let parts = match usable {
            Some(stored) => stored,
            None => create(&authority, now)?,
        };
        write(&certificate, parts.pem.as_bytes())?;
        Ok(Self { issuer: Issuer::new(params(), parts.key), validity: parts.validity, certificate })
    }

    /// The file with the CA's certificate, for `--cacert`, `ca_file` or a browser.
    #[must_use]
    pub fn ca_pem_path(&self) -> &Path {
        &self.certificate
    }

    /// When the authority and all its leaves end.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.validity.not_after
    }

    /// Makes leaves on demand, each for exactly one name that `allows` accepts; whoever names nobody gets one for the
    /// loopback addresses.
    pub fn leaves<P>(self: &Arc<Self>, allows: P) -> DevLeaves
    where
        P: Fn(&Hostname) -> bool + Send + Sync + 'static,
    {
        DevLeaves::new(Arc::clone(self), Box::new(allows))
    }
}

struct Parts {
    key: KeyPair,
    /// The certificate.
    pem: String,
    validity: Validity,
}

/// What is in the authority's file, unless it is damaged.
fn parse(bytes: &Secret<Vec<u8>>) -> Option<Parts> {
    let text = std::str::from_utf8(bytes.expose()).ok()?;
    let certificate = certificates(AUTHORITY_FILE, bytes.expose()).ok()?.into_iter().next()?;
    let key = KeyPair::from_pem(text.get(text.find("-----BEGIN PRIVATE KEY-----")?..)?).ok()?;
    let pem = text.get(text.find("-----BEGIN CERTIFICATE-----")?..)?;
    Some(Parts { key, pem: pem.to_owned(), validity: validity::read(&certificate)? })
}

fn create(authority: &Path, now: Timestamp) -> Result<Parts, DevCaError> {
    let key = KeyPair::generate().map_err(DevCaError::Make)?;
    let validity = Validity { not_before: now.minus(CLOCK_SKEW), not_after: now.plus(DEV_CA_LIFETIME) };
    let mut params = params();
    set_period(&mut params, validity).ok_or(DevCaError::Clock)?;
    let pem = params.self_signed(&key).map_err(DevCaError::Make)?.pem();

    let secret = Secret::new(key.serialize_pem());
    let whole = Secret::new([secret.expose().as_str(), pem.as_str()].concat());
    write(authority, whole.expose().as_bytes())?;
    // What the certificate says, which has no fractions of a second.
    let validity = certificates(AUTHORITY_FILE, pem.as_bytes())
        .map_err(DevCaError::Read)?
        .first()
        .and_then(validity::read)
        .ok_or(DevCaError::Clock)?;
    Ok(Parts { key, pem, validity })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DevCaError> {
    private_file::replace(path, bytes).map_err(|source| DevCaError::Write { path: path.to_owned(), source })
}

/// The authority's own fields. The same at each start: with the key they are all that signing needs.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Adit, for development on this machine only");
    params.distinguished_name.push(DnType::CommonName, "Adit development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// `None` where a date cannot be written.
fn set_period(params: &mut CertificateParams, validity: Validity) -> Option<()> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch = |point: Timestamp| point.since(Timestamp::from_micros(0)).try_into().ok();
    params.not_before = epoch.checked_add(since_epoch(validity.not_before)?)?;
    params.not_after = epoch.checked_add(since_epoch(validity.not_after)?)?;
    Some(())
}

#[cfg(test)]
mod tests;
