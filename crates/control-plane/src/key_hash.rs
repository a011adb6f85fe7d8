//! API keys as they are stored and compared.

use adit_domain::{ApiKey, KeyHash};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 (FIPS 180-4) of the whole text of a key.
pub(crate) fn hash(key: &ApiKey) -> KeyHash {
    let mut bytes = [0; 32];
    let digest = digest(&SHA256, key.expose().as_bytes());
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    KeyHash(bytes)
}

/// Whether two hashes are the same, in a time that says nothing of where they differ.
pub(crate) fn same(one: &KeyHash, other: &KeyHash) -> bool {
    verify_slices_are_equal(&one.0, &other.0).is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_domain::{ApiKey, KeyHash};

    use super::{hash, same};

    #[test]
    fn equal_keys_have_equal_hashes() {
        let key = ApiKey::generate().unwrap();
        let again = ApiKey::parse(key.expose()).unwrap();
        let other = ApiKey::generate().unwrap();
        assert!(same(&hash(&key), &hash(&again)));
        assert!(!same(&hash(&key), &hash(&other)));
        assert!(!same(&hash(&key), &KeyHash([0; 32])));
    }
}
