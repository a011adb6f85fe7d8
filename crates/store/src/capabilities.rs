//! Capabilities that were handed out: who, from which key, until when, revoked when.

use adit_domain::access::{Action, Permit};
use adit_domain::id::{ApiKeyId, CapabilityId, InstanceId, TenantId};
use adit_domain::{Plan, Timestamp};
use thiserror::Error;
use uuid::Uuid;

use crate::changes::{self, Event};
use crate::engine::{Engine, Transaction};
use crate::limits::LIST_ROWS_MAX;
use crate::scope::{Scope, Unscoped, installation_scope, tenant_scope};
use crate::statement::statements;
use crate::{Revocation, StoreError, tenants};

statements! {
    /// Check and use in one statement: no row comes from a key that does not count. It ends with its key.
    ISSUE: 7 = "INSERT INTO capabilities
            (id, tenant_id, api_key_id, agent_public_key, instance, issued_at, expires_at)
        SELECT $1, k.tenant_id, k.id, $4, $5, $6, CASE WHEN k.expires_at < $7 THEN k.expires_at ELSE $7 END
        FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
        WHERE k.tenant_id = $2 AND k.id = $3 AND k.revoked_at IS NULL AND t.suspended_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > $6)
        RETURNING expires_at";
    /// The same for the successor of a capability, which must not be revoked either.
    RENEW: 5 = "INSERT INTO capabilities
            (id, tenant_id, api_key_id, agent_public_key, instance, issued_at, expires_at)
        SELECT $1, k.tenant_id, k.id, c.agent_public_key, c.instance, $4,
            CASE WHEN k.expires_at < $5 THEN k.expires_at ELSE $5 END
        FROM capabilities c JOIN api_keys k ON k.id = c.api_key_id JOIN tenants t ON t.id = k.tenant_id
        WHERE c.tenant_id = $2 AND c.id = $3 AND c.revoked_at IS NULL AND k.tenant_id = $2
            AND k.revoked_at IS NULL AND t.suspended_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $4)
        RETURNING expires_at";
    PLAN: 1 = "SELECT plan FROM tenants WHERE id = $1";
    KEY_USED: 3 = "UPDATE api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2";
    /// What is revoked with its key counts as revoked, from the earlier of the two moments on.
    LIST: 3 = "SELECT c.id, c.api_key_id, c.agent_public_key, c.instance, c.issued_at, c.expires_at,
            CASE WHEN k.revoked_at < c.revoked_at THEN k.revoked_at
                ELSE COALESCE(c.revoked_at, k.revoked_at) END AS revoked_at
        FROM capabilities c JOIN api_keys k ON k.id = c.api_key_id AND k.tenant_id = c.tenant_id
        WHERE c.tenant_id = $1 AND c.expires_at > $2 ORDER BY c.id DESC LIMIT $3";
    REVOKE: 3 = "UPDATE capabilities SET revoked_at = $3
        WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
    EXISTS: 2 = "SELECT id FROM capabilities WHERE tenant_id = $1 AND id = $2";
    OWNER: 1 = "SELECT tenant_id AS id FROM capabilities WHERE id = $1";
    PRUNE: 1 = "DELETE FROM capabilities WHERE expires_at < $1";
}

/// Capabilities, of an open [`Store`](crate::Store).
#[derive(Clone, Copy, Debug)]
pub struct Capabilities<'a> {
    pub(crate) engine: &'a Engine,
}

/// A capability to be handed out for an API key.
#[derive(Debug, Clone)]
pub struct NewCapability {
    /// Its id.
    pub id: CapabilityId,
    /// The key that was shown.
    pub api_key: ApiKeyId,
    /// The agent's key, to which it is bound.
    pub agent_public_key: [u8; 32],
    /// The running copy of the agent.
    pub instance: InstanceId,
    /// From when it is valid.
    pub issued_at: Timestamp,
    /// Until when, at most: it does not outlive its API key.
    pub expires_at: Timestamp,
}

/// A capability to be handed out in place of an older one.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Its id.
    pub id: CapabilityId,
    /// The older one.
    pub previous: CapabilityId,
    /// From when it is valid.
    pub issued_at: Timestamp,
    /// Until when, at most: it does not outlive its API key.
    pub expires_at: Timestamp,
}

/// A capability as its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityRecord {
    /// Its id.
    pub id: CapabilityId,
    /// The key it was made from.
    pub api_key: ApiKeyId,
    /// The agent's key, to which it is bound.
    pub agent_public_key: [u8; 32],
    /// The running copy of the agent.
    pub instance: InstanceId,
    /// From when it is valid.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was revoked, by itself or with its API key.
    pub revoked_at: Option<Timestamp>,
}

/// A capability that was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// Until when it is valid.
    pub expires_at: Timestamp,
    /// What its tenant bought, at this moment.
    pub plan: Plan,
}

/// Why a capability was not handed out.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The API key, its tenant or the older capability does not count any more.
    #[error("the API key is not valid any more")]
    KeyNotValid,
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Capabilities<'_> {
    /// Writes a capability down if its key counts at this moment, and returns what is to be written into it.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub async fn issue(&self, permit: &Permit, new: &NewCapability) -> Result<Issued, IssueError> {
        let (tenant, scope) = tenant_scope(permit, Action::IssueCapability)?;
        let mut tx = self.engine.write(scope).await?;
        let values = [
            new.id.into(),
            tenant.into(),
            new.api_key.into(),
            (&new.agent_public_key).into(),
            new.instance.into(),
            new.issued_at.into(),
            new.expires_at.into(),
        ];
        let row: ExpiryRow = tx.optional(ISSUE, values).await?.ok_or(IssueError::KeyNotValid)?;
        tx.execute(KEY_USED, [tenant.into(), new.api_key.into(), new.issued_at.into()]).await?;
        let plan = plan_of(&mut tx, tenant).await?;
        tx.commit().await?;
        Ok(Issued { expires_at: Timestamp::from_micros(row.expires_at), plan })
    }

    /// Writes the successor of a capability down, for the same key and agent, and returns what is to be written into it.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub async fn renew(&self, permit: &Permit, renewal: &Renewal) -> Result<Issued, IssueError> {
        let (tenant, scope) = tenant_scope(permit, Action::IssueCapability)?;
        let mut tx = self.engine.write(scope).await?;
        let values = [
            renewal.id.into(),
            tenant.into(),
            renewal.previous.into(),
            renewal.issued_at.into(),
            renewal.expires_at.into(),
        ];
        let row: ExpiryRow = tx.optional(RENEW, values).await?.ok_or(IssueError::KeyNotValid)?;
        let plan = plan_of(&mut tx, tenant).await?;
        tx.commit().await?;
        Ok(Issued { expires_at: Timestamp::from_micros(row.expires_at), plan })
    }

    /// The newest [`LIST_ROWS_MAX`] capabilities of the permit's tenant that end after `now`, newest first.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn list(&self, permit: &Permit, now: Timestamp) -> Result<Vec<CapabilityRecord>, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageKeys)?;
        let mut tx = self.engine.read(scope).await?;
        let rows: Vec<Row> = tx.all(LIST, [tenant.into(), now.into(), LIST_ROWS_MAX.into()]).await?;
        rows.into_iter().map(Row::into_record).collect()
    }

    /// Revokes one capability of the permit's tenant and tells the change feed, in one transaction.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn revoke(
        &self,
        permit: &Permit,
        id: CapabilityId,
        at: Timestamp,
    ) -> Result<Revocation, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageKeys)?;
        let mut tx = self.engine.write(scope).await?;
        if tx.execute(REVOKE, [tenant.into(), id.into(), at.into()]).await? == 1 {
            changes::append(&mut tx, Event::CapabilityRevoked(id), at).await?;
            tx.commit().await?;
            return Ok(Revocation::Revoked);
        }
        let known = tx.optional::<IdRow, _>(EXISTS, [tenant.into(), id.into()]).await?.is_some();
        Ok(if known { Revocation::AlreadyRevoked } else { Revocation::Unknown })
    }

    /// Whose capability this is. The permit is for the installation.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn owner(&self, permit: &Permit, id: CapabilityId) -> Result<Option<TenantId>, StoreError> {
        let mut tx = self.engine.read(installation_scope(permit)?).await?;
        Ok(tx.optional::<IdRow, _>(OWNER, [id.into()]).await?.map(|row| row.id.into()))
    }

    /// Deletes capabilities that ended before `before`.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.engine.write(Scope::Everything(Unscoped::Housekeeping)).await?;
        let deleted = tx.execute(PRUNE, [before.into()]).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

async fn plan_of(tx: &mut Transaction, tenant: TenantId) -> Result<Plan, StoreError> {
    let row: Option<PlanRow> = tx.optional(PLAN, [tenant.into()]).await?;
    tenants::plan(&row.ok_or(StoreError::Corrupt("a capability's tenant"))?.plan)
}

#[derive(sqlx::FromRow)]
struct PlanRow {
    plan: String,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct ExpiryRow {
    expires_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    api_key_id: Uuid,
    agent_public_key: Vec<u8>,
    instance: Uuid,
    issued_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
}

impl Row {
    fn into_record(self) -> Result<CapabilityRecord, StoreError> {
        let key = self.agent_public_key.try_into().map_err(|_| StoreError::Corrupt("an agent's key"))?;
        Ok(CapabilityRecord {
            id: self.id.into(),
            api_key: self.api_key_id.into(),
            agent_public_key: key,
            instance: self.instance.into(),
            issued_at: Timestamp::from_micros(self.issued_at),
            expires_at: Timestamp::from_micros(self.expires_at),
            revoked_at: self.revoked_at.map(Timestamp::from_micros),
        })
    }
}
