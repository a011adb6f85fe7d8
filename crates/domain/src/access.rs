//! Who may do what: one pure function, and the proof that it said yes.
//!
//! Storage takes a [`Permit`] with every query of a tenant's data, and a permit can only be had from [`authorize`].

use thiserror::Error;

use crate::Rights;
use crate::id::{ApiKeyId, TenantId};

/// Who is acting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Actor {
    /// The person who runs this installation, at the machine itself.
    Operator,
    /// An agent that proved an API key, directly or through a capability made from it.
    Agent {
        /// Whose key it is.
        tenant: TenantId,
        /// Which key it is.
        api_key: ApiKeyId,
        /// What the key allows.
        rights: Rights,
    },
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Create a tenant.
    CreateTenant,
    /// See a tenant's keys and capabilities, and make or revoke them.
    ManageKeys,
    /// Exchange an API key for a capability.
    IssueCapability,
    /// Bind an endpoint that the tenant owns.
    BindEndpoint,
    /// Reserve a name that nobody owns yet.
    ReserveEndpoint,
    /// See what a tenant's endpoints carried.
    ReadUsage,
    /// See which endpoints a tenant has, and remove them.
    ManageEndpoints,
}

impl Action {
    /// Every action, for tests that walk the whole matrix.
    pub const ALL: [Self; 7] = [
        Self::CreateTenant,
        Self::ManageKeys,
        Self::IssueCapability,
        Self::BindEndpoint,
        Self::ReserveEndpoint,
        Self::ReadUsage,
        Self::ManageEndpoints,
    ];
}

/// What it is done to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// The installation as a whole.
    Installation,
    /// Something that belongs to this tenant.
    Tenant(TenantId),
}

/// Proof that [`authorize`] allowed an action. Its fields are private: nobody else can make one.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    action: Action,
    resource: Resource,
}

impl Permit {
    /// What was allowed.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The tenant whose data this permit opens; `None` for the installation itself.
    #[must_use]
    pub const fn tenant(&self) -> Option<TenantId> {
        match self.resource {
            Resource::Tenant(tenant) => Some(tenant),
            Resource::Installation => None,
        }
    }
}

/// The actor may not do this. To the outside it looks as if the resource did not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not allowed")]
pub struct Denied;

/// Decides whether `actor` may do `action` to `resource`.
///
/// # Errors
/// [`Denied`] for everything that is not listed as allowed.
pub fn authorize(actor: &Actor, action: Action, resource: &Resource) -> Result<Permit, Denied> {
    let allowed = match (*actor, *resource) {
        (Actor::Operator, Resource::Installation) => action == Action::CreateTenant,
        (Actor::Operator, Resource::Tenant(_)) => {
            matches!(action, Action::ManageKeys | Action::ReadUsage | Action::ManageEndpoints)
        }
        (Actor::Agent { tenant, rights, .. }, Resource::Tenant(owner)) => {
            tenant == owner
                && match action {
                    Action::IssueCapability => true,
                    Action::BindEndpoint => rights.contains(Rights::BIND),
                    Action::ReserveEndpoint => rights.contains(Rights::RESERVE),
                    Action::CreateTenant
                    | Action::ManageKeys
                    | Action::ReadUsage
                    | Action::ManageEndpoints => false,
                }
        }
        (Actor::Agent { .. }, Resource::Installation) => false,
    };
    if allowed { Ok(Permit { action, resource: *resource }) } else { Err(Denied) }
}

#[cfg(test)]
mod tests {
    use super::{Action, Actor, Denied, Resource, authorize};
    use crate::Rights;
    use crate::id::{ApiKeyId, TenantId};

    /// Every actor × action × resource, with the few that are allowed written out.
    #[test]
    fn the_whole_matrix() {
        let (own, other) = (TenantId::new(), TenantId::new());
        let agent = |rights| Actor::Agent { tenant: own, api_key: ApiKeyId::new(), rights };
        let actors = [
            ("operator", Actor::Operator),
            ("agent", agent(Rights::AGENT)),
            ("binder", agent(Rights::BIND)),
            ("nobody", agent(Rights::NONE)),
        ];
        let resources = [
            ("all", Resource::Installation),
            ("own", Resource::Tenant(own)),
            ("other", Resource::Tenant(other)),
        ];
        let mut allowed = Vec::new();
        for (who, actor) in &actors {
            for action in Action::ALL {
                for (what, resource) in &resources {
                    if authorize(actor, action, resource).is_ok() {
                        allowed.push(format!("{who} {action:?} {what}"));
                    }
                }
            }
        }
        assert_eq!(
            allowed,
            [
                "operator CreateTenant all",
                "operator ManageKeys own",
                "operator ManageKeys other",
                "operator ReadUsage own",
                "operator ReadUsage other",
                "operator ManageEndpoints own",
                "operator ManageEndpoints other",
                "agent IssueCapability own",
                "agent BindEndpoint own",
                "agent ReserveEndpoint own",
                "binder IssueCapability own",
                "binder BindEndpoint own",
                "nobody IssueCapability own",
            ]
        );
    }

    #[test]
    fn a_permit_says_what_it_is_for() {
        let tenant = TenantId::new();
        let permit = authorize(&Actor::Operator, Action::ManageKeys, &Resource::Tenant(tenant));
        assert_eq!(permit.map(|p| (p.action(), p.tenant())), Ok((Action::ManageKeys, Some(tenant))));
        let denied = authorize(&Actor::Operator, Action::BindEndpoint, &Resource::Tenant(tenant));
        assert_eq!(denied.map(|p| p.tenant()), Err(Denied));
    }
}
