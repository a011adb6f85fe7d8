//! What was claimed here, so that agents which come back are served while the directory is away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use adit_authority::{Claim, Claimed, RequestedName};
use adit_domain::id::{EndpointId, InstanceId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname};
use tokio::time::Instant;

use crate::limits::{REMEMBERED_CLAIMS_MAX, REMEMBERED_INSTANCES_MAX, REVOCATION_MEMORY};

/// The last claim of each endpoint that this node was granted, and that was not given back.
#[derive(Default)]
pub(crate) struct Resumable {
    by_name: Mutex<HashMap<Hostname, Grant>>,
}

struct Grant {
    claimed: Claimed,
    tenant: TenantId,
    pooled: bool,
    /// Those who hold it: one, or the members of a pool.
    instances: Vec<InstanceId>,
    granted_at: Instant,
}

impl Resumable {
    /// The directory has granted a claim.
    pub(crate) fn granted(&self, claimed: &Claimed, claim: &Claim) {
        let now = Instant::now();
        let mut by_name = self.lock();
        if !by_name.contains_key(&claimed.hostname) && by_name.len() >= REMEMBERED_CLAIMS_MAX {
            // No capability that was valid then is valid now.
            by_name.retain(|_, grant| now.duration_since(grant.granted_at) < REVOCATION_MEMORY);
            if by_name.len() >= REMEMBERED_CLAIMS_MAX {
                return;
            }
        }
        let new = || Grant {
            claimed: claimed.clone(),
            tenant: claim.tenant,
            pooled: claim.pooled,
            instances: Vec::new(),
            granted_at: now,
        };
        let grant = by_name.entry(claimed.hostname.clone()).or_insert_with(new);
        if (grant.claimed.endpoint, grant.claimed.epoch) != (claimed.endpoint, claimed.epoch) {
            // Answers of the directory can arrive out of order.
            if grant.claimed.endpoint == claimed.endpoint && grant.claimed.epoch > claimed.epoch {
                return;
            }
            *grant = new();
        }
        grant.granted_at = now;
        if !grant.instances.contains(&claim.instance) && grant.instances.len() < REMEMBERED_INSTANCES_MAX {
            grant.instances.push(claim.instance);
        }
    }

    /// What the directory would answer to an agent that comes back for what it holds. It cannot be asked; but nothing can
    /// have been taken over either, since that is the directory's to grant.
    pub(crate) fn resume(&self, claim: &Claim) -> Option<Claimed> {
        let RequestedName::Hostname(hostname) = &claim.name else { return None };
        let by_name = self.lock();
        let grant = by_name.get(hostname)?;
        let is_same = grant.tenant == claim.tenant
            && grant.pooled == claim.pooled
            && grant.claimed.epoch == claim.prior_epoch
            && grant.claimed.kind == claim.kind
            && claim.port.is_none_or(|port| grant.claimed.port == Some(port))
            && grant.instances.contains(&claim.instance);
        is_same.then(|| grant.claimed.clone())
    }

    /// The kind of an endpoint that was served here.
    pub(crate) fn kind_of(&self, hostname: &Hostname) -> Option<EndpointKind> {
        self.lock().get(hostname).map(|grant| grant.claimed.kind)
    }

    /// An endpoint was given back: whoever wants it again asks the directory.
    pub(crate) fn given_back(&self, claimed: &Claimed) {
        let mut by_name = self.lock();
        let is_this = |grant: &Grant| {
            (grant.claimed.endpoint, grant.claimed.epoch) == (claimed.endpoint, claimed.epoch)
        };
        if by_name.get(&claimed.hostname).is_some_and(is_this) {
            by_name.remove(&claimed.hostname);
        }
    }

    /// An endpoint was removed: what was granted in an epoch before this one is void, and returned.
    pub(crate) fn removed(&self, endpoint: EndpointId, before: Epoch) -> Option<Claimed> {
        let is_void = |claimed: &Claimed| claimed.endpoint == endpoint && claimed.epoch < before;
        let mut by_name = self.lock();
        let hostname = by_name.values().find(|grant| is_void(&grant.claimed))?.claimed.hostname.clone();
        by_name.remove(&hostname).map(|grant| grant.claimed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hostname, Grant>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_authority::{Claim, Claimed, RequestedName};
    use adit_domain::id::{ApiKeyId, EndpointId, InstanceId, NodeId, TenantId};
    use adit_domain::{EndpointKind, Epoch, Hostname, Rights};

    use super::Resumable;
    use crate::limits::{REMEMBERED_CLAIMS_MAX, REMEMBERED_INSTANCES_MAX};

    fn name(n: usize) -> Hostname {
        Hostname::parse(&format!("n{n}.example")).unwrap()
    }

    fn claim(n: usize, epoch: u64) -> (Claim, Claimed) {
        let claim = Claim {
            tenant: TenantId::new(),
            api_key: ApiKeyId::new(),
            rights: Rights::AGENT,
            name: RequestedName::Hostname(name(n)),
            port: None,
            kind: EndpointKind::Http,
            instance: InstanceId::new(),
            prior_epoch: Epoch(epoch),
            pooled: false,
            node: NodeId::new(),
        };
        let claimed = Claimed {
            endpoint: EndpointId::new(),
            hostname: name(n),
            kind: EndpointKind::Http,
            epoch: Epoch(epoch),
            port: None,
        };
        (claim, claimed)
    }

    #[test]
    fn only_who_held_it_last_resumes() {
        let memory = Resumable::default();
        let (held, claimed) = claim(0, 5);
        memory.granted(&claimed, &held);
        assert_eq!(memory.resume(&held).as_ref(), Some(&claimed));
        assert_eq!(memory.kind_of(&name(0)), Some(EndpointKind::Http));
        let default = RequestedName::Hostname(name(1));
        for other in [
            Claim { tenant: TenantId::new(), ..held.clone() },
            Claim { instance: InstanceId::new(), ..held.clone() },
            Claim { prior_epoch: Epoch::NONE, ..held.clone() },
            Claim { prior_epoch: Epoch(4), ..held.clone() },
            Claim { kind: EndpointKind::Tls, ..held.clone() },
            Claim { pooled: true, ..held.clone() },
            Claim { name: default, ..held.clone() },
        ] {
            assert_eq!(memory.resume(&other), None, "{other:?}");
        }
        // Another instance took over; an answer from before that changes nothing.
        let newer = (
            Claim { instance: InstanceId::new(), prior_epoch: Epoch(6), ..held.clone() },
            Claimed { epoch: Epoch(6), ..claimed.clone() },
        );
        memory.granted(&newer.1, &newer.0);
        memory.granted(&claimed, &held);
        assert_eq!(memory.resume(&held), None);
        memory.given_back(&claimed);
        assert!(memory.resume(&newer.0).is_some());
        memory.given_back(&newer.1);
        assert_eq!(memory.resume(&newer.0), None);
    }

    #[test]
    fn what_was_removed_is_not_resumed() {
        let (memory, (held, claimed)) = (Resumable::default(), claim(0, 5));
        memory.granted(&claimed, &held);
        assert_eq!(memory.removed(EndpointId::new(), Epoch(9)), None);
        assert_eq!(memory.removed(claimed.endpoint, Epoch(5)), None);
        assert!(memory.resume(&held).is_some());
        assert_eq!(memory.removed(claimed.endpoint, Epoch(6)).as_ref(), Some(&claimed));
        assert_eq!((memory.resume(&held), memory.kind_of(&name(0))), (None, None));
    }

    #[test]
    fn it_remembers_so_many() {
        let memory = Resumable::default();
        let all: Vec<_> = (0..=REMEMBERED_CLAIMS_MAX).map(|n| claim(n, 1)).collect();
        for (n, (claim, claimed)) in all.iter().enumerate() {
            memory.granted(claimed, claim);
            assert_eq!(memory.resume(claim).is_some(), n < REMEMBERED_CLAIMS_MAX, "{n}");
        }
        let (member, claimed) = claim(0, 2);
        let (member, claimed) = (
            Claim { tenant: all.first().unwrap().0.tenant, pooled: true, ..member },
            Claimed { endpoint: all.first().unwrap().1.endpoint, ..claimed },
        );
        for n in 0..=REMEMBERED_INSTANCES_MAX {
            let member = Claim { instance: InstanceId::new(), ..member.clone() };
            memory.granted(&claimed, &member);
            assert_eq!(memory.resume(&member).is_some(), n < REMEMBERED_INSTANCES_MAX, "{n}");
        }
    }
}
