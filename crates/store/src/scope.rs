//! Whose rows a transaction may see: the check of permits, and the one list of queries that none covers.

use adit_domain::access::{Action, Permit};
use adit_domain::id::TenantId;

use crate::StoreError;

/// Whose rows a transaction may see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// One tenant's. Postgres enforces it once more.
    Tenant(TenantId),
    /// Everybody's, for one of the queries that have no tenant.
    Everything(Unscoped),
}

/// Why a query sees every tenant's rows. Adding one is a decision about isolation: review it as such.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unscoped {
    /// The operator, with a permit for the installation, creates and finds tenants.
    Operator,
    /// Somebody shows an API key: its hash says whose it is. Nobody is known yet.
    KeyLookup,
    /// A node asks whether a host name exists, for a visitor whom nobody knows.
    HostnameLookup,
    /// A node gives back an endpoint that it held, named by id and epoch.
    NodeRelease,
    /// A node reports what endpoints carried. Whose an endpoint is says the database.
    NodeReport,
    /// A node keeps the port of an endpoint that it serves, named by id and epoch.
    NodeRenewal,
    /// Nodes follow the change feed. It holds ids only.
    ChangeFeed,
    /// Signing keys belong to the installation.
    SigningKeys,
    /// Rows that nobody can use any more are deleted.
    Housekeeping,
}

/// The scope of a permit for `action` on a tenant.
pub(crate) fn tenant_scope(permit: &Permit, action: Action) -> Result<(TenantId, Scope), StoreError> {
    let tenant = permit.tenant().filter(|_| permit.action() == action).ok_or(StoreError::Permit)?;
    Ok((tenant, Scope::Tenant(tenant)))
}

/// The scope of a permit for the installation as a whole.
pub(crate) fn installation_scope(permit: &Permit) -> Result<Scope, StoreError> {
    match permit.tenant() {
        None => Ok(Scope::Everything(Unscoped::Operator)),
        Some(_) => Err(StoreError::Permit),
    }
}
