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
