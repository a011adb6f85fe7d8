//! What tests put in the place of a control plane.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_authority::{
    Admission, BoxFuture, Changes, Claim, ClaimError, Claimed, Directory, RefreshError, Sequence, Unavailable,
};
use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, PlanLimits, Rights, Timestamp};
use adit_wire::capability::{AgentKey, Capability, Scope, SignedCapability};

/// A capability of this tenant, issued in 1970.
pub(crate) fn capability(tenant: TenantId, limits: PlanLimits) -> Capability {
    Capability {
        id: CapabilityId::new(),
        tenant,
        api_key: ApiKeyId::new(),
        agent_public_key: AgentKey::from_seed(&[7; 32]).public(),
        scope: Scope::Tenant,
        rights: Rights::AGENT,
        limits,
        issued_at: Timestamp::from_micros(0),
        expires_at: Timestamp::from_micros(i64::MAX),
        revision: 0,
        key_id: 0,
    }
}

/// Knows no names, never answers about changes, and counts how many ask for a name at once, what is released, and how often
/// changes are asked for.
#[derive(Default)]
pub(crate) struct Stub {
    asking: AtomicUsize,
    pub(crate) asking_max: AtomicUsize,
    pub(crate) released: AtomicUsize,
    pub(crate) asked_for_changes: AtomicUsize,
}

impl Admission for Stub {
    fn refresh<'a>(&'a self, _: &'a Capability) -> BoxFuture<'a, Result<SignedCapability, RefreshError>> {
        Box::pin(async { Err(RefreshError::Revoked) })
    }
}

impl Directory for Stub {
    fn claim(&self, _: Claim) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(async { Err(ClaimError::NotYours) })
    }

    fn release(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.released.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }

    fn renew(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn kind_of<'a>(&'a self, _: &'a Hostname) -> BoxFuture<'a, Result<Option<EndpointKind>, Unavailable>> {
        Box::pin(async {
            let asking = self.asking.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            self.asking_max.fetch_max(asking, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.asking.fetch_sub(1, Ordering::SeqCst);
            Ok(None)
        })
    }

    fn changes(&self, _: Sequence, _: Duration) -> BoxFuture<'_, Result<Changes, Unavailable>> {
        self.asked_for_changes.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}
