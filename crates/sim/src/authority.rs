//! The control plane in memory: it outlives crashes of the node, as a database does, and can be away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_authority::{
    Admission, BoxFuture, Change, Changes, Claim, ClaimError, Claimed, Directory, RefreshError,
    RequestedName, Sequence, Unavailable,
};
use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, InstanceId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, Plan, PlanLimits, Rights};
use adit_wire::capability::{AgentPublicKey, Capability, MintKey, Scope, SignedCapability};
use tokio::time::sleep;

use crate::bounds::IDLE_S_MAX;
use crate::clocks::WallClock;
use crate::fuse::Fuse;
use crate::planted::Planted;
use adit_testkit::ledger::Ledger;

/// How long a capability lives.
pub(crate) const LIFE: Duration = Duration::from_hours(24);

/// How often a waiting question looks again.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How the control plane answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// As it should.
    Well,
    /// At once, that it cannot.
    Failing,
    /// Not at all.
    Silent,
    /// It does what it is asked, and its answer is lost.
    Forgetful,
}

/// Signs capabilities, keeps endpoints and feeds changes.
pub(crate) struct Authority {
    mint: MintKey,
    clock: WallClock,
    ledger: Ledger,
    planted: Planted,
    claims: Fuse,
    state: Mutex<State>,
}

struct State {
    mood: Mood,
    endpoints: HashMap<Hostname, Entry>,
}

#[derive(Clone)]
struct Entry {
    tenant: TenantId,
    endpoint: EndpointId,
    epoch: Epoch,
    holder: InstanceId,
}

impl Authority {
    /// `claims` lies on the way of every claim.
    pub(crate) fn new(clock: WallClock, ledger: Ledger, planted: Planted, claims: Fuse) -> Arc<Self> {
        let state = Mutex::new(State { mood: Mood::Well, endpoints: HashMap::new() });
        Arc::new(Self { mint: MintKey::from_seed(1, &[7; 32]), clock, ledger, planted, claims, state })
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// A capability for an agent's key.
    pub(crate) async fn capability(
        &self,
        tenant: TenantId,
        agent: AgentPublicKey,
    ) -> Result<SignedCapability, Unavailable> {
        self.answering().await?;
        let issued_at = self.clock.now();
        Ok(self.mint.sign(&Capability {
            id: CapabilityId::new(),
            tenant,
            api_key: ApiKeyId::from_bytes(tenant.to_bytes()),
            agent_public_key: agent,
            scope: Scope::Tenant,
            rights: Rights::AGENT,
            limits: PlanLimits { idle_s_max: IDLE_S_MAX, ..Plan::default().limits() },
            issued_at,
            expires_at: issued_at.plus(LIFE),
            revision: 0,
            key_id: 1,
        }))
    }

    /// Waits as the mood is; an error if it is not to answer well.
    async fn answering(&self) -> Result<(), Unavailable> {
        sleep(Duration::from_millis(2)).await;
        while self.mood() == Mood::Silent {
            sleep(LOOK_EVERY).await;
        }
        if self.mood() == Mood::Failing { Err(unavailable()) } else { Ok(()) }
    }

    /// What was done is done; whether it is heard is another question.
    fn said<T>(&self, answer: T) -> Result<T, Unavailable> {
        if self.mood() == Mood::Forgetful { Err(unavailable()) } else { Ok(answer) }
    }

    fn claim_now(&self, claim: &Claim) -> Result<Claimed, ClaimError> {
        let RequestedName::Hostname(hostname) = claim.name.clone() else { return Err(ClaimError::NotYours) };
        let mut state = self.state();
        let fresh = || Entry {
            tenant: claim.tenant,
            endpoint: EndpointId::new(),
            epoch: Epoch::NONE,
            holder: claim.instance,
        };
        let entry = state.endpoints.entry(hostname.clone()).or_insert_with(fresh);
        if entry.tenant != claim.tenant {
            return Err(ClaimError::NotYours);
        }
        match claim.prior_epoch {
            Epoch::NONE if self.planted == Planted::EpochsStay && entry.epoch > Epoch::NONE => {}
            prior if self.planted == Planted::EpochsAreNotCompared && prior > Epoch::NONE => {}
            Epoch::NONE => entry.epoch = Epoch(entry.epoch.0 + 1),
            prior if prior == entry.epoch && entry.holder == claim.instance => {}
            _ => return Err(ClaimError::Replaced),
        }
        entry.holder = claim.instance;
        let Entry { endpoint, epoch, .. } = *entry;
        drop(state);
        self.ledger.own(format!("{hostname} in {epoch:?}"), claim.instance.to_string());
        self.ledger.note(format!("{hostname} is bound, {epoch:?}"));
        Ok(Claimed { endpoint, kind: EndpointKind::Http, hostname, port: None, epoch })
    }

    fn mood(&self) -> Mood {
        self.state().mood
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable() -> Unavailable {
    Unavailable { reason: "the simulation says so".to_owned() }
}

impl Directory for Authority {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(async move {
            self.claims.pass();
            self.answering().await?;
            let claimed = self.claim_now(&claim)?;
            Ok(self.said(claimed)?)
        })
    }

    fn release(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(self.answering())
    }

    fn renew(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(self.answering())
    }

    fn kind_of<'a>(
        &'a self,
        hostname: &'a Hostname,
    ) -> BoxFuture<'a, Result<Option<EndpointKind>, Unavailable>> {
        Box::pin(async move {
            self.answering().await?;
            Ok(self.state().endpoints.contains_key(hostname).then_some(EndpointKind::Http))
        })
    }

    fn changes(&self, after: Sequence, patience: Duration) -> BoxFuture<'_, Result<Changes, Unavailable>> {
        Box::pin(async move {
            self.answering().await?;
            if after == Sequence::START {
                let (key_id, public_key) = self.mint.public();
                let changes = vec![Change::SigningKey { key_id, public_key }];
                return self.said(Changes { changes, next: Sequence(1) });
            }
            sleep(patience).await;
            self.said(Changes { changes: Vec::new(), next: after })
        })
    }
}

impl Admission for Authority {
    fn refresh<'a>(
        &'a self,
        capability: &'a Capability,
    ) -> BoxFuture<'a, Result<SignedCapability, RefreshError>> {
        Box::pin(async move { Ok(self.capability(capability.tenant, capability.agent_public_key).await?) })
    }
}
