//! Tenants: the unit of isolation, quota and billing.

use adit_domain::access::{Action, Permit};
use adit_domain::id::TenantId;
use adit_domain::{Plan, Timestamp};
use thiserror::Error;
use uuid::Uuid;

use crate::changes::{self, Event};
use crate::engine::Engine;
use crate::limits::LIST_ROWS_MAX;
use crate::scope::{installation_scope, tenant_scope};
use crate::statement::statements;
use crate::{Revocation, StoreError};

statements! {
    INSERT: 3 = "INSERT INTO tenants (id, name, endpoints_reserved, created_at) VALUES ($1, $2, 0, $3)
        ON CONFLICT (name) DO NOTHING";
    BY_NAME: 1 = "SELECT id, name, plan, created_at, suspended_at FROM tenants WHERE name = $1";
    BY_ID: 1 = "SELECT id, name, plan, created_at, suspended_at FROM tenants WHERE id = $1";
    LIST: 1 = "SELECT id, name, plan, created_at, suspended_at FROM tenants ORDER BY id DESC LIMIT $1";
    SET_PLAN: 2 = "UPDATE tenants SET plan = $2 WHERE name = $1";
    SUSPEND: 2 = "UPDATE tenants SET suspended_at = $2 WHERE id = $1 AND suspended_at IS NULL";
}

/// Tenants, of an open [`Store`](crate::Store).
#[derive(Clone, Copy, Debug)]
pub struct Tenants<'a> {
    pub(crate) engine: &'a Engine,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique in the installation.
    pub name: String,
    /// What it bought.
    pub plan: Plan,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when its agents are refused.
    pub suspended_at: Option<Timestamp>,
}

/// Why a tenant was not created.
#[derive(Debug, Error)]
pub enum CreateTenantError {
    /// Another tenant has this name.
    #[error("a tenant of this name exists")]
    NameTaken,
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Tenants<'_> {
    /// Creates a tenant. The permit is for the installation.
    ///
    /// # Errors
    /// See [`CreateTenantError`].
    pub async fn create(
        &self,
        permit: &Permit,
        id: TenantId,
        name: &str,
        at: Timestamp,
    ) -> Result<(), CreateTenantError> {
        let mut tx = self.engine.write(installation_scope(permit)?).await?;
        if tx.execute(INSERT, [id.into(), name.into(), at.into()]).await? == 0 {
            return Err(CreateTenantError::NameTaken);
        }
        Ok(tx.commit().await?)
    }

    /// The tenant of this name. The permit is for the installation.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn by_name(&self, permit: &Permit, name: &str) -> Result<Option<Tenant>, StoreError> {
        let mut tx = self.engine.read(installation_scope(permit)?).await?;
        tx.optional::<Row, _>(BY_NAME, [name.into()]).await?.map(Row::into_tenant).transpose()
    }

    /// The tenant with this id. The permit is for the installation.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn by_id(&self, permit: &Permit, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let mut tx = self.engine.read(installation_scope(permit)?).await?;
        tx.optional::<Row, _>(BY_ID, [id.into()]).await?.map(Row::into_tenant).transpose()
    }

    /// The newest [`LIST_ROWS_MAX`] tenants, newest first. The permit is for the installation.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn list(&self, permit: &Permit) -> Result<Vec<Tenant>, StoreError> {
        let mut tx = self.engine.read(installation_scope(permit)?).await?;
        let rows: Vec<Row> = tx.all(LIST, [LIST_ROWS_MAX.into()]).await?;
        rows.into_iter().map(Row::into_tenant).collect()
    }

    /// Puts the tenant of this name on another plan; `false` if there is none. What its agents hold already keeps its
    /// limits until they renew it. The permit is for the installation: no tenant chooses by itself.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn set_plan(&self, permit: &Permit, name: &str, plan: Plan) -> Result<bool, StoreError> {
        let mut tx = self.engine.write(installation_scope(permit)?).await?;
        let changed = tx.execute(SET_PLAN, [name.into(), plan.name().into()]).await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Suspends the permit's tenant: its agents are refused, and the change feed says so.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn suspend(&self, permit: &Permit, at: Timestamp) -> Result<Revocation, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageKeys)?;
        let mut tx = self.engine.write(scope).await?;
        if tx.execute(SUSPEND, [tenant.into(), at.into()]).await? == 1 {
            changes::append(&mut tx, Event::TenantSuspended(tenant), at).await?;
            tx.commit().await?;
            return Ok(Revocation::Revoked);
        }
        let known = tx.optional::<Row, _>(BY_ID, [tenant.into()]).await?.is_some();
        Ok(if known { Revocation::AlreadyRevoked } else { Revocation::Unknown })
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    plan: String,
    created_at: i64,
    suspended_at: Option<i64>,
}

impl Row {
    fn into_tenant(self) -> Result<Tenant, StoreError> {
        Ok(Tenant {
            id: self.id.into(),
            name: self.name,
            plan: plan(&self.plan)?,
            created_at: Timestamp::from_micros(self.created_at),
            suspended_at: self.suspended_at.map(Timestamp::from_micros),
        })
    }
}

/// The plan with a name that storage gave.
pub(crate) fn plan(name: &str) -> Result<Plan, StoreError> {
    name.parse().map_err(|_| StoreError::Corrupt("a tenant's plan"))
}
