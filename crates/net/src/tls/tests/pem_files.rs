//! Certificates from files: which names they serve, and what is said about files that are no use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_domain::Hostname;
use rcgen::{CertificateParams, KeyPair};

use super::setup;
use crate::limits::PEM_BYTES_MAX;
use crate::tls::resolve::CertificateSource;
use crate::tls::{PemError, PemFiles, Resolver, Roots, http_client, public_server};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A self-signed certificate and its key.
    fn pair(&self, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = issue(name);
        (self.write(&format!("{name}.pem"), certificate), self.write(&format!("{name}.key"), key))
    }
}

fn issue(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn load(certificate: &Path, key: &Path) -> Result<PemFiles, PemError> {
    PemFiles::load(certificate, key)
}

#[test]
fn a_certificate_says_what_it_covers_and_serves_whoever_asks() {
    let folder = Folder::new();
    let (certificate, key) = folder.pair("*.example.com");
    let files = load(&certificate, &key).unwrap();
    let covers = |name: &str| files.covers(&Hostname::parse(name).unwrap());
    assert!(covers("demo.example.com"));
    assert!(!covers("a.demo.example.com") && !covers("example.com") && !covers("other.org"));
    assert!(files.certificate(Some(&Hostname::parse("other.org").unwrap())).is_some());
    assert!(files.certificate(None).is_some());
    assert_eq!(files.expires_at().unwrap().to_string(), "2040-01-01T00:00:00.000000Z");
}

#[tokio::test]
async fn sources_are_asked_in_order() {
    let folder = Folder::new();
    let (certificate, key) = folder.pair("demo.example.org");
    let setup = setup();
    let files: Arc<dyn CertificateSource> = Arc::new(load(&certificate, &key).unwrap());
    let both = Resolver::new(vec![setup.leaves, files]);
    let server = public_server(both).unwrap();

    let trusts_file = http_client(&Roots::from_file(&certificate).unwrap(), &[]).unwrap();
    let trusts_authority = http_client(&setup.roots, &[]).unwrap();
    assert!(super::shake(&trusts_file, &server, "demo.example.org").await.is_ok());
    assert!(super::shake(&trusts_authority, &server, "demo.example.org").await.is_err());
    assert!(super::shake(&trusts_authority, &server, "other.localhost").await.is_ok());
}

/// The error for a certificate and key with these contents, as text.
fn complaint(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    load(&folder.write("chain.pem", certificate), &folder.write("key.pem", key)).unwrap_err().to_string()
}

#[test]
fn every_error_names_the_file_and_what_to_do() {
    let (certificate, key) = issue("a.example");
    let (_, other_key) = issue("b.example");
    let damaged = |pem: &str| pem.replacen('M', "*", 1);
    for (complaint, parts) in [
        (complaint("", &key), &["chain.pem", "no certificate", "BEGIN CERTIFICATE"][..]),
        (complaint(&key, &key), &["chain.pem", "no certificate"]),
        (complaint(&certificate, ""), &["key.pem", "no private key", "without a passphrase"]),
        (complaint(&certificate, &certificate), &["key.pem", "no private key"]),
        (complaint(damaged(&certificate), &key), &["chain.pem", "damaged"]),
        (complaint(&certificate, damaged(&key)), &["key.pem", "damaged"]),
        (complaint(&certificate, &other_key), &["chain.pem", "key.pem", "does not belong"]),
        (complaint(b"\xff\xfe\x00binary", &key), &["chain.pem", "no certificate"]),
    ] {
        for part in parts {
            assert!(complaint.contains(part), "`{part}` is not in: {complaint}");
        }
        assert!(!complaint.contains("BEGIN PRIVATE KEY-----\n"), "{complaint}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let missing = Path::new("/nowhere/chain.pem");
    let error = load(missing, missing).unwrap_err();
    assert!(matches!(error, PemError::Read { .. }));
    assert!(error.to_string().contains("/nowhere/chain.pem"));
    assert!(Roots::from_file(missing).is_err());
}

#[test]
fn a_file_up_to_the_bound_is_read() {
    let (certificate, key) = issue("a.example");
    let bound = usize::try_from(PEM_BYTES_MAX).unwrap();
    for (bytes, fits) in [(bound - 1, true), (bound, true), (bound + 1, false)] {
        let folder = Folder::new();
        let padding = " ".repeat(bytes - certificate.len());
        let path = folder.write("chain.pem", format!("{certificate}{padding}"));
        let outcome = load(&path, &folder.write("key.pem", &key));
        assert_eq!(outcome.is_ok(), fits);
        assert_eq!(matches!(outcome, Err(PemError::TooLarge { .. })), !fits);
    }
}

#[test]
fn roots_are_exactly_what_the_file_holds() {
    let (first, _) = issue("a.example");
    let (second, _) = issue("b.example");
    let roots = Roots::from_pem("both", format!("{first}{second}").as_bytes()).unwrap();
    assert_eq!(roots.store().len(), 2);
    assert!(matches!(Roots::from_pem("none", b""), Err(PemError::NoCertificate { .. })));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Roots::from_pem("junk", junk.as_bytes()), Err(PemError::Root { .. })));
    assert!(Roots::public().store().len() > 50);
}
