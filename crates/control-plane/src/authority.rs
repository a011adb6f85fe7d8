//! What nodes ask, answered in this process.

mod feed;
mod ports;

use std::error::Error;
use std::time::Duration;

use adit_authority::limits::USAGE_ROWS_MAX;
use adit_authority::{
    Admission, BoxFuture, Changes, Claim, ClaimError, Claimed, Directory, RefreshError, RequestedName,
    Sequence, Unavailable, Usage, UsageRow,
};
use adit_domain::access::{Action, Actor, Resource, authorize};
use adit_domain::id::{CapabilityId, EndpointId};
use adit_domain::{EndpointKind, Epoch, Hostname, Label};
use adit_store::limits::ENDPOINTS_PER_TENANT_MAX;
use adit_store::{ClaimRequest, ClaimedEndpoint, IssueError, Issued, Name, Renewal, Reported};
use adit_wire::capability::{Capability, SignedCapability};

use crate::limits::{CAPABILITY_LIFETIME, PORT_KEPT, UPSTREAM_LABEL_BYTES_MAX};
use crate::{ControlPlane, mint, names};

impl Admission for ControlPlane {
    fn refresh<'a>(
        &'a self,
        capability: &'a Capability,
    ) -> BoxFuture<'a, Result<SignedCapability, RefreshError>> {
        Box::pin(self.renew(capability))
    }
}

impl Directory for ControlPlane {
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(self.claim_endpoint(claim))
    }

    fn release(&self, endpoint: EndpointId, epoch: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            self.store().endpoints().release(endpoint, epoch).await.map(drop).map_err(unavailable)
        })
    }

    fn renew(&self, endpoint: EndpointId, epoch: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let kept_until = self.now().plus(PORT_KEPT);
            self.store().endpoints().renew(endpoint, epoch, kept_until).await.map(drop).map_err(unavailable)
        })
    }

    fn kind_of<'a>(
        &'a self,
        hostname: &'a Hostname,
    ) -> BoxFuture<'a, Result<Option<EndpointKind>, Unavailable>> {
        Box::pin(async move {
            // Whoever asks for names elsewhere costs the store nothing.
            if !hostname.is_direct_child_of(&self.settings().domain) {
                return Ok(None);
            }
            self.store().endpoints().kind_of(hostname).await.map_err(unavailable)
        })
    }

    fn changes(&self, after: Sequence, patience: Duration) -> BoxFuture<'_, Result<Changes, Unavailable>> {
        Box::pin(feed::changes(self.store(), after, patience))
    }
}

impl Usage for ControlPlane {
    fn report<'a>(&'a self, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(self.take_down(rows))
    }
}

impl ControlPlane {
    async fn take_down(&self, rows: &[UsageRow]) -> Result<(), Unavailable> {
        if rows.len() > USAGE_ROWS_MAX {
            return Err(Unavailable { reason: format!("a report has at most {USAGE_ROWS_MAX} rows") });
        }
        let rows: Vec<_> = rows
            .iter()
            .map(|UsageRow { node, boot, endpoint, hour, carried }| Reported {
                node: *node,
                boot: *boot,
                endpoint: *endpoint,
                hour: *hour,
                carried: *carried,
            })
            .collect();
        let known = self.store().usage().report(&rows).await.map_err(unavailable)?;
        if known < rows.len() {
            let unknown = rows.len().saturating_sub(known);
            tracing::warn!(unknown, "a node reports usage of endpoints that do not exist");
        }
        Ok(())
    }

    async fn renew(&self, old: &Capability) -> Result<SignedCapability, RefreshError> {
        let actor = Actor::Agent { tenant: old.tenant, api_key: old.api_key, rights: old.rights };
        let permit = authorize(&actor, Action::IssueCapability, &Resource::Tenant(old.tenant))
            .map_err(|_| RefreshError::Revoked)?;
        let now = self.now();
        let (id, expires_at) = (CapabilityId::new(), now.plus(CAPABILITY_LIFETIME));
        let renewal = Renewal { id, previous: old.id, issued_at: now, expires_at };
        let Issued { expires_at, plan } = match self.store().capabilities().renew(&permit, &renewal).await {
            Ok(issued) => issued,
            Err(IssueError::KeyNotValid) => return Err(RefreshError::Revoked),
            Err(IssueError::Store(error)) => return Err(unavailable(error).into()),
        };
        let new = Capability { id, limits: plan.limits(), issued_at: now, expires_at, ..old.clone() };
        Ok(mint::sign(self.store(), &new, now).await.map_err(unavailable)?)
    }

    async fn claim_endpoint(&self, claim: Claim) -> Result<Claimed, ClaimError> {
        let ports = ports::offer(&claim, self.settings(), self.now())?;
        let actor = Actor::Agent { tenant: claim.tenant, api_key: claim.api_key, rights: claim.rights };
        let permit = |action| authorize(&actor, action, &Resource::Tenant(claim.tenant));
        let bind = permit(Action::BindEndpoint).map_err(|_| ClaimError::RightMissing)?;
        let reserve = permit(Action::ReserveEndpoint).ok();
        let (purpose, fresh, hostname);
        let name = match &claim.name {
            _ if let Some(port) = ports::names_endpoint(&claim, self.settings()) => {
                fresh = names::fresh(&self.settings().domain).map_err(unavailable)?;
                Name::Port { port, fresh: &fresh }
            }
            RequestedName::Hostname(requested) => {
                hostname = self.full_name(requested)?;
                Name::Hostname(&hostname)
            }
            RequestedName::Default { agent, label } => {
                purpose = format!("{}:{}:{}", agent.to_hex(), claim.kind, shortened(label));
                fresh = names::fresh(&self.settings().domain).map_err(unavailable)?;
                Name::Default { purpose: &purpose, fresh: &fresh }
            }
        };
        let request = ClaimRequest {
            api_key: claim.api_key,
            name,
            kind: claim.kind,
            ports,
            instance: claim.instance,
            prior_epoch: claim.prior_epoch,
            pooled: claim.pooled,
            node: claim.node,
            at: self.now(),
        };
        let claimed = self.store().endpoints().claim(&bind, reserve.as_ref(), &request).await;
        let ClaimedEndpoint { id: endpoint, hostname, epoch, port } = claimed.map_err(refusal)?;
        Ok(Claimed { endpoint, hostname, kind: claim.kind, epoch, port })
    }

    /// One label alone stands for the name directly below the domain of endpoints, which agents do not know.
    fn full_name(&self, requested: &Hostname) -> Result<Hostname, ClaimError> {
        let settings = self.settings();
        let invalid = || ClaimError::NameInvalid { domain: settings.domain.clone() };
        let hostname = match Label::parse(requested.as_str()) {
            Ok(label) => settings.domain.child(&label).map_err(|_| invalid())?,
            Err(_) => requested.clone(),
        };
        if !hostname.is_direct_child_of(&settings.domain) {
            return Err(invalid());
        }
        if settings.reserved.contains(&hostname) {
            return Err(ClaimError::NotYours);
        }
        Ok(hostname)
    }
}

fn refusal(error: adit_store::ClaimError) -> ClaimError {
    use adit_store::ClaimError as Store;
    match error {
        Store::NotYours => ClaimError::NotYours,
        Store::Replaced => ClaimError::Replaced,
        Store::LimitReached => ClaimError::LimitReached { limit: ENDPOINTS_PER_TENANT_MAX },
        Store::ReserveNotPermitted => ClaimError::RightMissing,
        Store::KeyNotValid => ClaimError::Revoked,
        Store::Port(error) => ports::refusal(error),
        Store::Store(error) => unavailable(error).into(),
    }
}

/// The wire bounds a label already; this keeps the bound where the text is stored.
fn shortened(label: &str) -> &str {
    label.get(..label.floor_char_boundary(UPSTREAM_LABEL_BYTES_MAX)).unwrap_or(label)
}

fn unavailable(error: impl Error) -> Unavailable {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reason.push_str(": ");
        reason.push_str(&error.to_string());
        source = error.source();
    }
    Unavailable { reason }
}

#[cfg(test)]
mod tests {
    use super::shortened;
    use crate::limits::UPSTREAM_LABEL_BYTES_MAX;

    #[test]
    fn a_label_is_kept_as_far_as_there_is_room_and_never_half_a_character() {
        const MAX: usize = UPSTREAM_LABEL_BYTES_MAX;
        for (bytes, kept) in [(0, 0), (MAX - 1, MAX - 1), (MAX, MAX), (MAX + 1, MAX)] {
            assert_eq!(shortened(&"a".repeat(bytes)).len(), kept);
            let two_bytes_last = format!("{}ü", "a".repeat(bytes));
            let whole = if bytes + 2 <= MAX { bytes + 2 } else { bytes.min(MAX) };
            assert_eq!(shortened(&two_bytes_last).len(), whole);
        }
    }
}
