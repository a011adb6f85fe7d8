//! The certificates of all servers: one authority, one P-256 key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::program::output;

/// The app's host, and the name of servers that have one only.
pub const HOST: &str = "localhost";
/// The domain of endpoints. Two labels, so that a wildcard is taken.
pub const DOMAIN: &str = "bench.localhost";

/// The password of the file that rathole wants. It protects nothing.
pub const PKCS12_PASSWORD: &str = "bench";

/// Files in a folder.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    authority: CertificateDer<'static>,
}

impl Certificates {
    /// Makes them.
    pub fn make(folder: &Path) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "adit-bench authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let mut params =
            CertificateParams::new([HOST.to_owned(), format!("*.{DOMAIN}"), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, HOST);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &issuer)?;

        let made = Self { folder: folder.to_path_buf(), authority: authority.der().clone() };
        fs::write(made.authority(), authority.pem()).context("no certificates")?;
        fs::write(made.chain(), format!("{}{}", leaf.pem(), authority.pem()))?;
        fs::write(made.key(), key.serialize_pem())?;
        Ok(made)
    }

    /// The authority, PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The server's certificate and the authority, PEM.
    pub fn chain(&self) -> PathBuf {
        self.folder.join("chain.pem")
    }

    /// The server's key, PEM.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The same as PKCS #12, made when it is first asked for.
    pub fn pkcs12(&self) -> Result<PathBuf> {
        let file = self.folder.join("identity.p12");
        if !file.exists() {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkcs12", "-export", "-inkey"]).arg(self.key()).arg("-in").arg(self.chain());
            openssl.arg("-passout").arg(format!("pass:{PKCS12_PASSWORD}")).arg("-out").arg(&file);
            output(&mut openssl)?;
        }
        Ok(file)
    }

    /// Whom visitors trust.
    pub fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        Ok(roots)
    }
}
