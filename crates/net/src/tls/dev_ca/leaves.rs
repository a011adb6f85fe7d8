//! Leaves of the development CA, made when they are first asked for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_domain::Hostname;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::{DevCa, set_period};
use crate::limits::DEV_LEAVES_MAX;
use crate::tls::provider::provider;
use crate::tls::resolve::CertificateSource;

/// Which names the authority may speak for.
type Allows = Box<dyn Fn(&Hostname) -> bool + Send + Sync>;

/// Certificates of the development CA, each for exactly one allowed name. Clients reject wildcards right below
/// `localhost`, so there are none.
pub struct DevLeaves {
    authority: Arc<DevCa>,
    allows: Allows,
    made: Mutex<Made>,
}

/// At most [`DEV_LEAVES_MAX`]; the oldest makes room.
#[derive(Default)]
struct Made {
    leaves: HashMap<Option<Hostname>, Arc<CertifiedKey>>,
    order: VecDeque<Option<Hostname>>,
}

impl DevLeaves {
    pub(super) fn new(authority: Arc<DevCa>, allows: Allows) -> Self {
        Self { authority, allows, made: Mutex::default() }
    }

    // Nothing panics while it holds this lock, so a poisoned one is as good as new.
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, name: Option<&Hostname>) -> Option<Arc<CertifiedKey>> {
        match mint(&self.authority, name) {
            Ok(leaf) => Some(Arc::new(leaf)),
            Err(error) => {
                tracing::warn!(%error, "cannot make a certificate of the development CA");
                None
            }
        }
    }
}

impl CertificateSource for DevLeaves {
    fn certificate(&self, name: Option<&Hostname>) -> Option<Arc<CertifiedKey>> {
        if !name.is_none_or(|name| (self.allows)(name)) {
            return None;
        }
        let key = name.cloned();
        if let Some(leaf) = self.made().leaves.get(&key) {
            return Some(Arc::clone(leaf));
        }
        // Not under the lock: two handshakes may make the same leaf at once, which does no harm.
        let leaf = self.make(name)?;
        self.made().keep(key, Arc::clone(&leaf));
        Some(leaf)
    }
}

impl Made {
    fn keep(&mut self, name: Option<Hostname>, leaf: Arc<CertifiedKey>) {
        if self.leaves.insert(name.clone(), leaf).is_some() {
            return;
        }
        self.order.push_back(name);
        if self.order.len() > DEV_LEAVES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.leaves.remove(&oldest);
        }
    }
}

impl fmt::Debug for DevLeaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevLeaves").field("made", &self.made().order.len()).finish_non_exhaustive()
    }
}

/// A leaf makes its own key, and with it its serial number, so that browsers never see one serial twice.
fn mint(authority: &DevCa, name: Option<&Hostname>) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = subjects(name)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Adit development");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_period(&mut params, authority.validity).ok_or("a date is out of range")?;

    let certificate = params.signed_by(&key, &authority.issuer)?;
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(CertifiedKey::from_der(vec![certificate.der().clone()], secret, &provider())?)
}

fn subjects(name: Option<&Hostname>) -> Result<Vec<SanType>, rcgen::Error> {
    Ok(match name {
        Some(name) => vec![SanType::DnsName(name.as_str().try_into()?)],
        None => vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ],
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use adit_domain::{Hostname, Timestamp};

    use super::{DevCa, DevLeaves, Made};
    use crate::limits::DEV_LEAVES_MAX;
    use crate::tls::resolve::{CertificateSource, covers};

    fn leaves() -> (tempfile::TempDir, DevLeaves) {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_micros(1_795_222_812_000_000);
        let authority = Arc::new(DevCa::create_or_load(folder.path(), now).unwrap());
        let parent = name("localhost");
        (folder, authority.leaves(move |name| *name == parent || name.is_direct_child_of(&parent)))
    }

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn a_leaf_covers_its_name_and_no_other_and_is_made_once() {
        let (_folder, leaves) = leaves();
        let demo = leaves.certificate(Some(&name("demo.localhost"))).unwrap();
        assert!(covers(&demo, &name("demo.localhost")));
        assert!(!covers(&demo, &name("other.localhost")));
        assert!(!covers(&demo, &name("localhost")));
        let again = leaves.certificate(Some(&name("demo.localhost"))).unwrap();
        assert!(Arc::ptr_eq(&demo, &again));
    }

    #[test]
    fn names_that_are_not_allowed_get_nothing() {
        let (_folder, leaves) = leaves();
        for other in ["example.com", "a.b.localhost", "localhost.example.com"] {
            assert!(leaves.certificate(Some(&name(other))).is_none(), "{other}");
        }
        assert!(leaves.made().leaves.is_empty());
    }

    #[test]
    fn whoever_names_nobody_gets_the_loopback() {
        let (_folder, leaves) = leaves();
        assert!(covers(&leaves.certificate(None).unwrap(), &name("localhost")));
    }

    #[test]
    fn the_oldest_leaf_makes_room_at_the_bound() {
        let (_folder, leaves) = leaves();
        let leaf = leaves.certificate(None).unwrap();
        for (count, kept, first_kept) in [
            (DEV_LEAVES_MAX - 1, DEV_LEAVES_MAX - 1, true),
            (DEV_LEAVES_MAX, DEV_LEAVES_MAX, true),
            (DEV_LEAVES_MAX + 1, DEV_LEAVES_MAX, false),
        ] {
            let mut made = Made::default();
            for at in 0..count {
                made.keep(Some(name(&format!("n{at}.localhost"))), Arc::clone(&leaf));
            }
            assert_eq!((made.leaves.len(), made.order.len()), (kept, kept));
            assert_eq!(made.leaves.contains_key(&Some(name("n0.localhost"))), first_kept);
        }
    }
}
