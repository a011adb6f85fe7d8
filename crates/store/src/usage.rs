//! What endpoints carried, as nodes reported it.

use std::time::Duration;

use adit_domain::access::{Action, Permit};
use adit_domain::id::{BootId, EndpointId, NodeId};
use adit_domain::{Carried, Timestamp};
use uuid::Uuid;

use crate::StoreError;
use crate::engine::Engine;
use crate::limits::LIST_ROWS_MAX;
use crate::scope::{Scope, Unscoped, tenant_scope};
use crate::statement::{Value, statements};

const HOUR: Duration = Duration::from_hours(1);

/// Sums of a tenant's endpoints from the hour `$2` on, put together by what follows.
macro_rules! sums {
    ($group:literal) => {
        concat!(
            "SELECT u.endpoint_id, e.hostname, CAST(MAX(u.hour) AS BIGINT) AS hour,
                CAST(SUM(u.requests) AS BIGINT) AS requests, CAST(SUM(u.connections) AS BIGINT) AS connections,
                CAST(SUM(u.in_bytes) AS BIGINT) AS in_bytes, CAST(SUM(u.out_bytes) AS BIGINT) AS out_bytes
            FROM usage u JOIN endpoints e ON e.id = u.endpoint_id AND e.tenant_id = u.tenant_id
            WHERE u.tenant_id = $1 AND u.hour >= $2 ",
            $group
        )
    };
}

statements! {
    /// The tenant is the endpoint's, whatever the node believes. The larger number stays, so a repeated or late report
    /// changes nothing.
    REPORT: 8 = "INSERT INTO usage
            (node_id, boot_id, endpoint_id, hour, tenant_id, requests, connections, in_bytes, out_bytes)
        SELECT $1, $2, e.id, $4, e.tenant_id, $5, $6, $7, $8 FROM endpoints e WHERE e.id = $3
        ON CONFLICT (node_id, boot_id, endpoint_id, hour) DO UPDATE SET
            requests = CASE WHEN excluded.requests > usage.requests
                THEN excluded.requests ELSE usage.requests END,
            connections = CASE WHEN excluded.connections > usage.connections
                THEN excluded.connections ELSE usage.connections END,
            in_bytes = CASE WHEN excluded.in_bytes > usage.in_bytes
                THEN excluded.in_bytes ELSE usage.in_bytes END,
            out_bytes = CASE WHEN excluded.out_bytes > usage.out_bytes
                THEN excluded.out_bytes ELSE usage.out_bytes END";
    TOTALS: 3 = sums!("GROUP BY u.endpoint_id, e.hostname ORDER BY e.hostname LIMIT $3");
    BY_HOUR: 3 = sums!("GROUP BY u.endpoint_id, e.hostname, u.hour ORDER BY u.hour DESC, e.hostname LIMIT $3");
    PRUNE: 1 = "DELETE FROM usage WHERE hour < $1";
}

/// What endpoints carried, of an open [`Store`](crate::Store).
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    pub(crate) engine: &'a Engine,
}

/// What an endpoint carried in an hour so far, as one boot of a node counted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    /// Which node counted.
    pub node: NodeId,
    /// Which run of the node's counters.
    pub boot: BootId,
    /// Whose.
    pub endpoint: EndpointId,
    /// Whole hours since the Unix epoch.
    pub hour: u32,
    /// What passed.
    pub carried: Carried,
}

/// What an endpoint carried, put together from all nodes and boots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRecord {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its name.
    pub hostname: String,
    /// The start of the hour; in a sum of hours, of the last one.
    pub hour: Timestamp,
    /// What passed.
    pub carried: Carried,
}

impl Usage<'_> {
    /// Takes down what nodes report, all rows or none, and returns how many of them are of endpoints that exist. Needs
    /// no permit: a node says what it carried, and learns nothing. The caller bounds the rows.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn report(&self, rows: &[Reported]) -> Result<usize, StoreError> {
        let mut tx = self.engine.write(Scope::Everything(Unscoped::NodeReport)).await?;
        let mut known = 0_usize;
        for row in rows {
            let Carried { requests, connections, in_bytes, out_bytes } = row.carried;
            let values = [
                row.node.into(),
                row.boot.into(),
                row.endpoint.into(),
                row.hour.into(),
                count(requests),
                count(connections),
                count(in_bytes),
                count(out_bytes),
            ];
            known += usize::from(tx.execute(REPORT, values).await? > 0);
        }
        tx.commit().await?;
        Ok(known)
    }

    /// What each endpoint of the permit's tenant carried since the hour of `since`, by name, at most [`LIST_ROWS_MAX`].
    ///
    /// # Errors
    /// When storage fails.
    pub async fn totals(&self, permit: &Permit, since: Timestamp) -> Result<Vec<UsageRecord>, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ReadUsage)?;
        let mut tx = self.engine.read(scope).await?;
        let values = [tenant.into(), hour_of(since).into(), LIST_ROWS_MAX.into()];
        let rows: Vec<Row> = tx.all(TOTALS, values).await?;
        rows.into_iter().map(Row::into_record).collect()
    }

    /// The same hour by hour, the newest [`LIST_ROWS_MAX`] rows, newest first.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn by_hour(&self, permit: &Permit, since: Timestamp) -> Result<Vec<UsageRecord>, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ReadUsage)?;
        let mut tx = self.engine.read(scope).await?;
        let values = [tenant.into(), hour_of(since).into(), LIST_ROWS_MAX.into()];
        let rows: Vec<Row> = tx.all(BY_HOUR, values).await?;
        rows.into_iter().map(Row::into_record).collect()
    }

    /// Deletes what was carried in hours before that of `before`.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.engine.write(Scope::Everything(Unscoped::Housekeeping)).await?;
        let deleted = tx.execute(PRUNE, [hour_of(before).into()]).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

/// A count as both engines hold it. Eight exbibytes are more than an hour can carry.
fn count(count: u64) -> Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(micros_of_hour())
}

fn micros_of_hour() -> i64 {
    i64::try_from(HOUR.as_micros()).unwrap_or(i64::MAX)
}

#[derive(sqlx::FromRow)]
struct Row {
    endpoint_id: Uuid,
    hostname: String,
    hour: i64,
    requests: i64,
    connections: i64,
    in_bytes: i64,
    out_bytes: i64,
}

impl Row {
    fn into_record(self) -> Result<UsageRecord, StoreError> {
        let count = |count| u64::try_from(count).map_err(|_| StoreError::Corrupt("a count of usage"));
        Ok(UsageRecord {
            endpoint: self.endpoint_id.into(),
            hostname: self.hostname,
            hour: Timestamp::from_micros(self.hour.saturating_mul(micros_of_hour())),
            carried: Carried {
                requests: count(self.requests)?,
                connections: count(self.connections)?,
                in_bytes: count(self.in_bytes)?,
                out_bytes: count(self.out_bytes)?,
            },
        })
    }
}
