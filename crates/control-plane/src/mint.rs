//! Signing keys, and capabilities signed with them.

use adit_domain::Timestamp;
use adit_store::{NewSigningKey, SigningKey, Store, StoreError};
use adit_wire::capability::{Capability, KeyError, MintKey, SignedCapability};
use thiserror::Error;

use crate::limits::SIGNING_KEY_PUBLISHED_FOR;

/// Why the control plane did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No signing key could be made.
    #[error("cannot make a signing key")]
    Key(#[from] KeyError),
    /// Storage failed.
    #[error("cannot read the signing keys")]
    Store(#[from] StoreError),
}

/// Why a capability was not signed.
#[derive(Debug, Error)]
pub enum MintError {
    /// All signing keys are retired.
    #[error("there is no signing key in use")]
    NoKey,
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the first signing key if there is none. Several processes may do so at once: one key stays.
pub(crate) async fn ensure_key(store: &Store, now: Timestamp) -> Result<(), StartError> {
    if !store.signing_keys().list().await?.is_empty() {
        return Ok(());
    }
    let key = MintKey::generate(0)?;
    let (_, public_key) = key.public();
    let new = NewSigningKey { public_key: &public_key, seed: &key.seed(), created_at: now };
    if let Some(key_id) = store.signing_keys().add_first(&new).await? {
        tracing::info!(key_id, "made the first signing key");
    }
    Ok(())
}

/// Signs with the key that is in use now. Read each time, so that a retired key signs nothing more.
pub(crate) async fn sign(
    store: &Store,
    capability: &Capability,
    now: Timestamp,
) -> Result<SignedCapability, MintError> {
    let keys = store.signing_keys().list().await?;
    let key = in_use(&keys, now).ok_or(MintError::NoKey)?;
    Ok(MintKey::from_seed(key.key_id, key.seed.expose()).sign(capability))
}

/// The newest key that every node must have learned of by now; before there is one, the oldest. `keys` has the newest
/// first.
fn in_use(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    let valid = || keys.iter().filter(|key| key.retired_at.is_none());
    valid().find(|key| key.created_at.plus(SIGNING_KEY_PUBLISHED_FOR) <= now).or_else(|| valid().next_back())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_domain::{Secret, Timestamp};
    use adit_store::SigningKey;

    use super::in_use;

    #[test]
    fn a_key_is_published_before_it_signs() {
        let start = Timestamp::from_micros(0);
        let at = |minutes| start.plus(Duration::from_mins(minutes));
        let key = |key_id, made, retired: Option<u64>| SigningKey {
            key_id,
            public_key: [0; 32],
            seed: Secret::new([0; 32]),
            created_at: at(made),
            retired_at: retired.map(at),
        };
        let cases = [
            ("none", vec![], 0, None),
            ("the only one signs at once", vec![key(1, 0, None)], 0, Some(1)),
            ("a new one waits", vec![key(2, 5, None), key(1, 0, None)], 5, Some(1)),
            ("and then signs", vec![key(2, 5, None), key(1, 0, None)], 6, Some(2)),
            ("a retired one never", vec![key(2, 5, Some(9)), key(1, 0, None)], 9, Some(1)),
            ("at least one that waits", vec![key(2, 5, None), key(1, 0, Some(5))], 5, Some(2)),
            ("all retired", vec![key(1, 0, Some(5))], 5, None),
        ];
        for (case, keys, now, expected) in cases {
            assert_eq!(in_use(&keys, at(now)).map(|key| key.key_id), expected, "{case}");
        }
    }
}
