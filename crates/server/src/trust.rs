//! Which capabilities this node believes: the keys that sign them, and what was revoked.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use adit_authority::Change;
use adit_domain::Timestamp;
use adit_domain::id::{ApiKeyId, CapabilityId, TenantId};
use adit_wire::capability::{Capability, CapabilityError, KeyRing, SignedCapability};

use crate::limits::REVOCATION_MEMORY;

/// Verifies capabilities offline and holds them against the revocations that the directory's changes brought.
#[derive(Default)]
pub(crate) struct Trust {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: KeyRing,
    /// When each was seen to be revoked. Entries older than [`REVOCATION_MEMORY`] are forgotten.
    api_keys: HashMap<ApiKeyId, Timestamp>,
    capabilities: HashMap<CapabilityId, Timestamp>,
    tenants: HashMap<TenantId, Timestamp>,
}

impl Trust {
    /// Checks a capability's signature and times.
    pub(crate) fn verify(
        &self,
        signed: &SignedCapability,
        now: Timestamp,
    ) -> Result<Capability, CapabilityError> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).keys.verify(signed, now)
    }

    /// Whether the capability or its key was revoked, or its tenant suspended.
    pub(crate) fn is_revoked(&self, capability: &Capability) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.api_keys.contains_key(&capability.api_key)
            || inner.capabilities.contains_key(&capability.id)
            || inner.tenants.contains_key(&capability.tenant)
    }

    /// Takes a change in.
    pub(crate) fn apply(&self, change: &Change, now: Timestamp) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::SigningKey { key_id, public_key } => inner.add_key(*key_id, *public_key),
            Change::SigningKeyRetired { key_id } => inner.keys.remove(*key_id),
            Change::ApiKeyRevoked(key) => {
                inner.api_keys.insert(*key, now);
            }
            Change::CapabilityRevoked(capability) => {
                inner.capabilities.insert(*capability, now);
            }
            Change::TenantSuspended(tenant) => {
                inner.tenants.insert(*tenant, now);
            }
            Change::EndpointRemoved { .. } => {}
        }
        let remembered = now.minus(REVOCATION_MEMORY);
        inner.api_keys.retain(|_, seen| *seen >= remembered);
        inner.capabilities.retain(|_, seen| *seen >= remembered);
        inner.tenants.retain(|_, seen| *seen >= remembered);
    }
}

impl Inner {
    fn add_key(&mut self, key_id: u32, public_key: [u8; 32]) {
        if let Err(error) = self.keys.insert(key_id, public_key) {
            tracing::error!(key_id, %error, "a signing key of the control plane cannot be used");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_authority::Change;
    use adit_domain::id::TenantId;
    use adit_domain::{Plan, Timestamp};

    use super::Trust;
    use crate::limits::REVOCATION_MEMORY;
    use crate::stub::capability;

    #[test]
    fn a_revocation_is_remembered_for_as_long_as_a_capability_can_live() {
        const A_MOMENT: Duration = Duration::from_micros(1);
        let capability = capability(TenantId::new(), Plan::default().limits());
        let revocations = [
            Change::ApiKeyRevoked(capability.api_key),
            Change::CapabilityRevoked(capability.id),
            Change::TenantSuspended(capability.tenant),
        ];
        let seen = Timestamp::from_micros(0);
        for revocation in revocations {
            for (age, is_revoked) in [
                (REVOCATION_MEMORY.saturating_sub(A_MOMENT), true),
                (REVOCATION_MEMORY, true),
                (REVOCATION_MEMORY + A_MOMENT, false),
            ] {
                let trust = Trust::default();
                trust.apply(&revocation, seen);
                trust.apply(&Change::TenantSuspended(TenantId::new()), seen.plus(age));
                assert_eq!(trust.is_revoked(&capability), is_revoked, "{revocation:?} {age:?}");
            }
        }
    }
}
