//! What endpoints a tenant has, and removing one.

use std::num::NonZeroU16;

use adit_domain::access::{Action, Permit};
use adit_domain::id::{EndpointId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, Timestamp};
use uuid::Uuid;

use super::{Endpoints, kind};
use crate::StoreError;
use crate::changes::{self, Event};
use crate::limits::LIST_ROWS_MAX;
use crate::scope::{installation_scope, tenant_scope};
use crate::statement::statements;

statements! {
    LIST: 2 = "SELECT e.id, e.hostname, e.kind, e.created_at, p.port FROM endpoints e
        LEFT JOIN ports p ON p.endpoint_id = e.id AND p.kind = e.kind AND p.in_force = 1
        WHERE e.tenant_id = $1 AND e.removed_at IS NULL ORDER BY e.id DESC LIMIT $2";
    OWNER: 1 = "SELECT tenant_id AS id FROM endpoints WHERE hostname = $1 AND removed_at IS NULL";
    /// In a new epoch, so that whoever holds it in an older one does not come back to it.
    REMOVE: 3 = "UPDATE endpoints SET removed_at = $3, epoch = epoch + 1, pooled = 0, default_for = NULL,
            holder_instance = NULL, holder_node = NULL
        WHERE tenant_id = $1 AND hostname = $2 AND removed_at IS NULL RETURNING id, epoch";
    COUNT_ONE_LESS: 1 = "UPDATE tenants SET endpoints_reserved = endpoints_reserved - 1
        WHERE id = $1 AND endpoints_reserved > 0";
}

/// An endpoint that a tenant has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Its id.
    pub id: EndpointId,
    /// Its host name.
    pub hostname: String,
    /// What visitors speak.
    pub kind: EndpointKind,
    /// Its public port, if it has one.
    pub port: Option<NonZeroU16>,
    /// When it was reserved.
    pub created_at: Timestamp,
}

impl Endpoints<'_> {
    /// The newest [`LIST_ROWS_MAX`] endpoints of the permit's tenant, newest first.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn list(&self, permit: &Permit) -> Result<Vec<EndpointRecord>, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageEndpoints)?;
        let mut tx = self.engine.read(scope).await?;
        let rows: Vec<Row> = tx.all(LIST, [tenant.into(), LIST_ROWS_MAX.into()]).await?;
        rows.into_iter().map(Row::into_record).collect()
    }

    /// Whose endpoint has this name. The permit is for the installation.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn owner(&self, permit: &Permit, hostname: &Hostname) -> Result<Option<TenantId>, StoreError> {
        let mut tx = self.engine.read(installation_scope(permit)?).await?;
        Ok(tx.optional::<OwnerRow, _>(OWNER, [hostname.into()]).await?.map(|row| row.id.into()))
    }

    /// Removes an endpoint of the permit's tenant and tells the change feed, in one transaction; `false` if it has none of
    /// this name. The name stays the tenant's, who can reserve it again; its port is nobody's until it was not served for
    /// as long as that takes.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn remove(
        &self,
        permit: &Permit,
        hostname: &Hostname,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageEndpoints)?;
        let mut tx = self.engine.write(scope).await?;
        let values = [tenant.into(), hostname.into(), at.into()];
        let Some(removed) = tx.optional::<RemovedRow, _>(REMOVE, values).await? else { return Ok(false) };
        // After the endpoint's own row, as a claim does: nobody waits for the other in a ring.
        tx.execute(COUNT_ONE_LESS, [tenant.into()]).await?;
        changes::append(&mut tx, removed.event()?, at).await?;
        tx.commit().await?;
        Ok(true)
    }
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct RemovedRow {
    id: Uuid,
    epoch: i64,
}

impl RemovedRow {
    fn event(&self) -> Result<Event, StoreError> {
        let epoch = u64::try_from(self.epoch).map_err(|_| StoreError::Corrupt("an epoch"))?;
        Ok(Event::EndpointRemoved { endpoint: self.id.into(), epoch: Epoch(epoch) })
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    hostname: String,
    kind: i64,
    created_at: i64,
    port: Option<i64>,
}

impl Row {
    fn into_record(self) -> Result<EndpointRecord, StoreError> {
        let port = |port: i64| {
            let port = u16::try_from(port).ok().and_then(NonZeroU16::new);
            port.ok_or(StoreError::Corrupt("a port"))
        };
        Ok(EndpointRecord {
            id: self.id.into(),
            hostname: self.hostname,
            kind: kind(self.kind)?,
            port: self.port.map(port).transpose()?,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}
