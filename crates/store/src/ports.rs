//! Public ports: which endpoint has which, and for how long nobody else gets it.

use std::num::NonZeroU16;

use adit_domain::id::{EndpointId, TenantId};
use adit_domain::{EndpointKind, Epoch, PortRange, Timestamp};
use thiserror::Error;

use crate::StoreError;
use crate::engine::Transaction;
use crate::limits::{PORT_ROUNDS, PORTS_PER_TENANT_MAX};
use crate::statement::{Value, statements};

statements! {
    HAS: 2 = "SELECT port, kept_until FROM ports WHERE endpoint_id = $1 AND kind = $2 AND in_force = 1";
    /// Unless another has taken it, its time being over.
    KEEP: 3 = "UPDATE ports SET kept_until = $3 WHERE endpoint_id = $1 AND kind = $2 AND in_force = 1";
    RENEW: 3 = "UPDATE ports SET kept_until = $3 WHERE endpoint_id = $1 AND in_force = 1
        AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = $1 AND e.epoch = $2)";
    /// What is left stays the endpoint's until its time has come: nobody else may get it before.
    LEAVE: 1 = "UPDATE ports SET in_force = 0 WHERE endpoint_id = $1 AND in_force = 1";
    LEAVE_OTHERS: 2 = "UPDATE ports SET in_force = 0 WHERE endpoint_id = $1 AND kind <> $2 AND in_force = 1";
    TAKE_BACK: 6 = "UPDATE ports SET in_force = 1, kept_until = $5
        WHERE endpoint_id = $1 AND kind = $2 AND kept_until > $6 AND port =
            (SELECT p.port FROM ports p WHERE p.endpoint_id = $1 AND p.kind = $2 AND p.kept_until > $6
            AND p.port BETWEEN $3 AND $4 ORDER BY p.kept_until DESC, p.port LIMIT 1) RETURNING port";
    /// The tenant's row makes its leases serial, so the limit holds on Postgres too.
    LOCK_TENANT: 1 = "UPDATE tenants SET endpoints_reserved = endpoints_reserved WHERE id = $1";
    /// Without those that were left and that nobody could get: a range that moves does not halve what a tenant may have.
    COUNT: 5 = "SELECT count(*) AS ports FROM ports p JOIN endpoints e ON e.id = p.endpoint_id
        WHERE e.tenant_id = $1 AND p.kept_until > $2
            AND (p.in_force = 1 OR p.kind <> $3 OR p.port BETWEEN $4 AND $5)";
    FREE: 5 = "WITH RECURSIVE candidates (port) AS
            (SELECT CAST($2 AS BIGINT) UNION ALL SELECT port + 1 FROM candidates WHERE port < $3)
        SELECT c.port FROM candidates c
        WHERE NOT EXISTS (SELECT 1 FROM ports p WHERE p.kind = $1 AND p.port = c.port AND p.kept_until > $4)
        ORDER BY c.port < $5, c.port LIMIT 1";
    /// Check and use in one: of several takers at once exactly one gets the row.
    TAKE: 5 = "INSERT INTO ports (kind, port, endpoint_id, kept_until) VALUES ($1, $2, $3, $4)
        ON CONFLICT (kind, port) DO UPDATE SET endpoint_id = excluded.endpoint_id, kept_until = excluded.kept_until,
            in_force = 1
        WHERE ports.kept_until <= $5";
}

/// The public ports that an endpoint may get.
#[derive(Debug, Clone, Copy)]
pub struct PortOffer {
    /// From these.
    pub range: PortRange,
    /// Exactly this one of them; else the one that it has, or any that is free.
    pub wish: Option<NonZeroU16>,
    /// Where in the range to begin to look. Random, so that two who look at once find different ones.
    pub start: NonZeroU16,
    /// Until then nobody else gets it.
    pub kept_until: Timestamp,
}

/// Why an endpoint has no port.
#[derive(Debug, Error)]
pub enum PortError {
    /// The port is not on offer.
    #[error("port {0} is not one of those on offer")]
    OutOfRange(NonZeroU16),
    /// Another tenant has it.
    #[error("this port is not available")]
    NotYours,
    /// The endpoint has another one.
    #[error("the endpoint has port {0}")]
    HasAnother(NonZeroU16),
    /// Every port on offer is taken.
    #[error("every port is taken")]
    NoneFree,
    /// The tenant has [`PORTS_PER_TENANT_MAX`] of them.
    #[error("the tenant has as many ports as it may")]
    LimitReached,
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// For which endpoint a port is wanted.
pub(crate) struct Wanted {
    pub(crate) endpoint: EndpointId,
    pub(crate) tenant: TenantId,
    pub(crate) kind: EndpointKind,
    pub(crate) at: Timestamp,
}

/// Leases a port: the one that the endpoint has, if it is on offer and nobody wishes another; else one that it had and that
/// is still kept for it; else a free one.
pub(crate) async fn lease(
    tx: &mut Transaction,
    wanted: &Wanted,
    offer: &PortOffer,
) -> Result<NonZeroU16, PortError> {
    let range = match offer.wish {
        Some(port) if !offer.range.contains(port) => return Err(PortError::OutOfRange(port)),
        Some(port) => PortRange::only(port),
        None => offer.range,
    };
    let (endpoint, kind) = (Value::from(wanted.endpoint), Value::from(wanted.kind));
    if let Some(has) = tx.optional::<HeldRow, _>(HAS, [endpoint.clone(), kind.clone()]).await? {
        let port = port(has.port)?;
        if range.contains(port) {
            if has.kept_until <= wanted.at.as_micros() {
                // It did not count any more, and does again.
                check_limit(tx, wanted, offer.range).await?;
            }
            let keep = [endpoint.clone(), kind.clone(), offer.kept_until.into()];
            if tx.execute(KEEP, keep).await? == 1 {
                return Ok(port);
            }
        } else if offer.range.contains(port) {
            return Err(PortError::HasAnother(port));
        }
    }
    // The installation has moved its range: such a port leads nowhere any more. One that it had there before, it has again.
    tx.execute(LEAVE, [endpoint.clone()]).await?;
    let (first, last) = (range.first().into(), range.last().into());
    let back = [endpoint, kind, first, last, offer.kept_until.into(), wanted.at.into()];
    if let Some(back) = tx.optional::<PortRow, _>(TAKE_BACK, back).await? {
        return Ok(back.port()?);
    }
    check_limit(tx, wanted, offer.range).await?;
    take(tx, wanted, offer, range).await
}

async fn check_limit(tx: &mut Transaction, wanted: &Wanted, range: PortRange) -> Result<(), PortError> {
    tx.execute(LOCK_TENANT, [wanted.tenant.into()]).await?;
    let (first, last) = (range.first().into(), range.last().into());
    let count = [wanted.tenant.into(), wanted.at.into(), wanted.kind.into(), first, last];
    let counted = tx.optional::<CountRow, _>(COUNT, count).await?;
    if counted.is_some_and(|counted| counted.ports >= i64::from(PORTS_PER_TENANT_MAX)) {
        return Err(PortError::LimitReached);
    }
    Ok(())
}

async fn take(
    tx: &mut Transaction,
    wanted: &Wanted,
    offer: &PortOffer,
    range: PortRange,
) -> Result<NonZeroU16, PortError> {
    for _ in 0..PORT_ROUNDS {
        let look = [
            wanted.kind.into(),
            range.first().into(),
            range.last().into(),
            wanted.at.into(),
            offer.start.into(),
        ];
        let Some(free) = tx.optional::<PortRow, _>(FREE, look).await? else { break };
        let port = free.port()?;
        let values = [
            wanted.kind.into(),
            port.into(),
            wanted.endpoint.into(),
            offer.kept_until.into(),
            wanted.at.into(),
        ];
        if tx.execute(TAKE, values).await? == 1 {
            return Ok(port);
        }
    }
    Err(if offer.wish.is_some() { PortError::NotYours } else { PortError::NoneFree })
}

/// The port that an endpoint had as another kind is not in force any more.
pub(crate) async fn leave_others(
    tx: &mut Transaction,
    endpoint: EndpointId,
    kind: EndpointKind,
) -> Result<(), StoreError> {
    tx.execute(LEAVE_OTHERS, [endpoint.into(), kind.into()]).await?;
    Ok(())
}

/// Keeps the port of an endpoint that is held in `epoch`.
pub(crate) async fn renew(
    tx: &mut Transaction,
    endpoint: EndpointId,
    epoch: Epoch,
    kept_until: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(RENEW, [endpoint.into(), epoch.into(), kept_until.into()]).await? == 1)
}

#[derive(sqlx::FromRow)]
struct PortRow {
    port: i64,
}

/// The port that an endpoint has.
#[derive(sqlx::FromRow)]
struct HeldRow {
    port: i64,
    kept_until: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    ports: i64,
}

impl PortRow {
    fn port(&self) -> Result<NonZeroU16, StoreError> {
        port(self.port)
    }
}

fn port(stored: i64) -> Result<NonZeroU16, StoreError> {
    let port = u16::try_from(stored).ok().and_then(NonZeroU16::new);
    port.ok_or(StoreError::Corrupt("a port"))
}
