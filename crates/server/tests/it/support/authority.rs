//! A control plane in memory, for nodes under test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use adit_authority::{
    Admission, BoxFuture, Change, Changes, Claim, ClaimError, Claimed, Directory, RefreshError,
    RequestedName, Sequence, Unavailable,
};
use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, InstanceId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, Plan, PlanLimits, Rights, Timestamp};
use adit_wire::capability::{AgentKey, Capability, MintKey, Scope, SignedCapability};
use tokio::sync::{Notify, Semaphore};

/// Signs capabilities, keeps endpoints, and feeds changes.
pub struct Authority {
    mint: MintKey,
    state: Mutex<State>,
    changed: Notify,
    /// Claims are answered while there are permits.
    pub claims: Semaphore,
    /// Somebody has asked for a refresh.
    pub refreshing: Notify,
    /// Somebody has asked whether a name exists.
    pub asked: Notify,
    /// Refreshes are never answered.
    pub refreshes_hang: AtomicBool,
    /// Releases are never answered.
    pub releases_hang: AtomicBool,
    /// Whether a name exists is never answered.
    pub names_hang: AtomicBool,
    /// What every tenant bought.
    limits: Mutex<PlanLimits>,
    /// What is asked next has a mistake in it.
    pub panics: Panics,
    /// Nothing about endpoints is answered.
    pub is_away: AtomicBool,
}

/// Which questions panic.
#[derive(Default)]
pub struct Panics {
    pub claims: AtomicBool,
    pub names: AtomicBool,
    pub changes: AtomicBool,
}

/// Only the next one.
fn may_panic(planted: &AtomicBool) {
    assert!(!planted.swap(false, Ordering::SeqCst), "a planted panic");
}

/// What every tenant bought at first.
pub const LIMITS: PlanLimits = PlanLimits { sessions_max: 4, endpoints_max: 4, ..Plan::SelfHosted.limits() };

/// Who holds an endpoint, and whether together with others.
type Holder = (InstanceId, bool);

#[derive(Default)]
struct State {
    endpoints: HashMap<Hostname, (TenantId, EndpointId, Epoch, Holder)>,
    changes: Vec<Change>,
    released: Vec<EndpointId>,
}

impl Authority {
    /// A control plane with one signing key and no endpoints.
    pub fn new() -> Arc<Self> {
        let mint = MintKey::generate(1).unwrap();
        let (key_id, public_key) = mint.public();
        let state = State { changes: vec![Change::SigningKey { key_id, public_key }], ..State::default() };
        Arc::new(Self {
            mint,
            state: Mutex::new(state),
            changed: Notify::new(),
            claims: Semaphore::new(Semaphore::MAX_PERMITS),
            refreshing: Notify::new(),
            asked: Notify::new(),
            refreshes_hang: AtomicBool::new(false),
            releases_hang: AtomicBool::new(false),
            names_hang: AtomicBool::new(false),
            panics: Panics::default(),
            limits: Mutex::new(LIMITS),
            is_away: AtomicBool::new(false),
        })
    }

    /// Capabilities of now on, and those that are renewed, have these limits.
    pub fn sell(&self, limits: PlanLimits) {
        *self.limits.lock().unwrap() = limits;
    }

    /// A capability for `agent`, valid from `from` for `life`.
    pub fn capability(
        &self,
        agent: &AgentKey,
        tenant: TenantId,
        from: Timestamp,
        life: Duration,
    ) -> (Capability, SignedCapability) {
        let capability = Capability {
            id: CapabilityId::new(),
            tenant,
            api_key: ApiKeyId::new(),
            agent_public_key: agent.public(),
            scope: Scope::Tenant,
            rights: Rights::AGENT,
            limits: *self.limits.lock().unwrap(),
            issued_at: from,
            expires_at: from.plus(life),
            revision: 0,
            key_id: 1,
        };
        let signed = self.mint.sign(&capability);
        (capability, signed)
    }

    /// Tells the node of a change.
    pub fn tell(&self, change: Change) {
        self.state().changes.push(change);
        self.changed.notify_waiters();
    }

    /// The endpoints that the node gave back, in order.
    pub fn released(&self) -> Vec<EndpointId> {
        self.state().released.clone()
    }

    /// Whether somebody was ever given this name.
    pub fn has_granted(&self, name: &str) -> bool {
        self.state().endpoints.contains_key(&Hostname::parse(name).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn claim_now(&self, claim: &Claim) -> Result<Claimed, ClaimError> {
        let RequestedName::Hostname(hostname) = claim.name.clone() else {
            return Err(ClaimError::NotYours);
        };
        let mut state = self.state();
        let entry = state.endpoints.entry(hostname.clone()).or_insert((
            claim.tenant,
            EndpointId::new(),
            Epoch::NONE,
            (claim.instance, claim.pooled),
        ));
        let (tenant, endpoint, epoch, holder) = entry;
        if *tenant != claim.tenant {
            return Err(ClaimError::NotYours);
        }
        match claim.prior_epoch {
            Epoch::NONE if claim.pooled && holder.1 && *epoch > Epoch::NONE => {}
            Epoch::NONE => *epoch = Epoch(epoch.0 + 1),
            prior if prior == *epoch && claim.pooled && holder.1 => {}
            prior if prior == *epoch && *holder == (claim.instance, claim.pooled) => {}
            _ => return Err(ClaimError::Replaced),
        }
        *holder = (claim.instance, claim.pooled);
        Ok(Claimed { endpoint: *endpoint, hostname, kind: claim.kind, epoch: *epoch, port: claim.port })
    }
}

impl Directory for Authority {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(async move {
            let _turn = self.claims.acquire().await;
            may_panic(&self.panics.claims);
            if self.is_away.load(Ordering::SeqCst) {
                return Err(ClaimError::Unavailable(Unavailable { reason: "planted".to_owned() }));
            }
            self.claim_now(&claim)
        })
    }

    fn release(&self, endpoint: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.state().released.push(endpoint);
        Box::pin(async {
            if self.releases_hang.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }

    fn renew(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn kind_of<'a>(
        &'a self,
        hostname: &'a Hostname,
    ) -> BoxFuture<'a, Result<Option<EndpointKind>, Unavailable>> {
        self.asked.notify_one();
        may_panic(&self.panics.names);
        let known = self.state().endpoints.contains_key(hostname);
        Box::pin(async move {
            if self.names_hang.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(known.then_some(EndpointKind::Http))
        })
    }

    fn changes(&self, after: Sequence, patience: Duration) -> BoxFuture<'_, Result<Changes, Unavailable>> {
        Box::pin(async move {
            let news = self.changed.notified();
            may_panic(&self.panics.changes);
            let seen = usize::try_from(after.0).unwrap();
            if self.state().changes.len() == seen {
                let _ = tokio::time::timeout(patience, news).await;
            }
            let changes: Vec<_> = self.state().changes[seen..].to_vec();
            let next = Sequence(after.0 + i64::try_from(changes.len()).unwrap());
            Ok(Changes { changes, next })
        })
    }
}

impl Admission for Authority {
    fn refresh<'a>(
        &'a self,
        capability: &'a Capability,
    ) -> BoxFuture<'a, Result<SignedCapability, RefreshError>> {
        Box::pin(async move {
            self.refreshing.notify_one();
            if self.refreshes_hang.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let renewed = Capability {
                id: CapabilityId::new(),
                limits: *self.limits.lock().unwrap(),
                expires_at: capability.expires_at.plus(Duration::from_hours(1)),
                ..capability.clone()
            };
            Ok(self.mint.sign(&renewed))
        })
    }
}
