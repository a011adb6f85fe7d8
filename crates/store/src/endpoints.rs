//! Endpoints: names that tenants own, and who holds them in which epoch.

pub(crate) mod inventory;

use std::num::NonZeroU16;

use adit_domain::access::{Action, Permit};
use adit_domain::id::{ApiKeyId, EndpointId, InstanceId, NodeId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, Timestamp};
use thiserror::Error;
use uuid::Uuid;

use crate::StoreError;
use crate::engine::{Engine, Transaction};
use crate::limits::{ENDPOINTS_PER_TENANT_MAX, EPOCH_MAX};
use crate::ports::{self, PortError, PortOffer, Wanted};
use crate::scope::{Scope, Unscoped, tenant_scope};
use crate::statement::{Statement, Value, statements};

/// One row if the API key `$2` of tenant `$1` counts at `$3`.
macro_rules! key_counts {
    () => {
        "SELECT k.id FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.tenant_id = $1 AND k.id = $2
            AND k.revoked_at IS NULL AND t.suspended_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $3)"
    };
}

/// The whole claim, check and use in one statement. The prior epoch `$5` decides: zero takes over, or joins where both
/// the epoch and the claim (`$9`) are pooled; the current one resumes, for the instance that holds it or for any that
/// pools in a pooled one; a later one than the database knows means that it was restored from a backup, and the number
/// counts again, for all sessions and members that come with it; an older one finds no row, for its holder has been
/// replaced.
macro_rules! claim {
    ($named:literal) => {
        concat!(
            "UPDATE endpoints SET holder_instance = $6, holder_node = $7, pooled = $9, epoch = CASE
                WHEN CAST($5 AS BIGINT) > epoch THEN $5
                WHEN $5 = 0 AND (pooled = 0 OR CAST($9 AS BIGINT) = 0) THEN epoch + 1 ELSE epoch END
            WHERE tenant_id = $1 AND kind = $8 AND removed_at IS NULL AND ",
            $named,
            " AND ($5 = 0 OR $5 > epoch OR ($5 = epoch AND pooled = $9
                AND ($9 = 1 OR holder_instance = $6))) AND EXISTS (",
            key_counts!(),
            ") RETURNING id, hostname, epoch"
        )
    };
}

statements! {
    CLAIM_HOSTNAME: 9 = claim!("hostname = $4");
    CLAIM_DEFAULT: 9 = claim!("default_for = $4");
    CLAIM_PORT: 9 = claim!("id = (SELECT p.endpoint_id FROM ports p WHERE p.kind = $8 AND p.port = $4)");
    KEY_COUNTS: 3 = key_counts!();
    OWN_HOSTNAME: 3 = "SELECT id FROM endpoints
        WHERE tenant_id = $1 AND hostname = $2 AND kind = $3 AND removed_at IS NULL";
    OWN_DEFAULT: 3 = "SELECT id FROM endpoints
        WHERE tenant_id = $1 AND default_for = $2 AND kind = $3 AND removed_at IS NULL";
    OWN_PORT: 3 = "SELECT e.id FROM endpoints e JOIN ports p ON p.endpoint_id = e.id
        WHERE e.tenant_id = $1 AND p.port = $2 AND e.kind = $3 AND e.removed_at IS NULL";
    /// Counts first: the tenant's row makes its reservations serial, so the limit holds on Postgres too.
    COUNT_ONE_MORE: 2 = "UPDATE tenants SET endpoints_reserved = endpoints_reserved + 1
        WHERE id = $1 AND endpoints_reserved < $2";
    RESERVE: 6 = "INSERT INTO endpoints (id, tenant_id, kind, hostname, default_for, epoch, created_at)
        VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT DO NOTHING";
    /// What the tenant has removed it may have again, as whichever kind.
    RESERVE_AGAIN: 5 = "UPDATE endpoints SET removed_at = NULL, kind = $2, default_for = $4, created_at = $5
        WHERE tenant_id = $1 AND hostname = $3 AND removed_at IS NOT NULL RETURNING id";
    RELEASE: 2 = "UPDATE endpoints SET holder_node = NULL WHERE id = $1 AND epoch = $2";
    BY_HOSTNAME: 1 = "SELECT kind FROM endpoints WHERE hostname = $1 AND removed_at IS NULL";
}

/// Endpoints, of an open [`Store`](crate::Store).
#[derive(Clone, Copy, Debug)]
pub struct Endpoints<'a> {
    pub(crate) engine: &'a Engine,
}

/// A request to hold an endpoint.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// The key that the agent's capability was made from. It must count at this moment.
    pub api_key: ApiKeyId,
    /// Which name.
    pub name: Name<'a>,
    /// What visitors will speak.
    pub kind: EndpointKind,
    /// The public ports to choose from; none for kinds that have no port.
    pub ports: Option<PortOffer>,
    /// Which running copy of the agent.
    pub instance: InstanceId,
    /// What it held before; [`Epoch::NONE`] takes over.
    pub prior_epoch: Epoch,
    /// Whether it shares the endpoint with others that do.
    pub pooled: bool,
    /// The node that the agent is connected to.
    pub node: NodeId,
    /// Now.
    pub at: Timestamp,
}

/// The name that is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Name<'a> {
    /// Exactly this one.
    Hostname(&'a Hostname),
    /// The one that the tenant keeps for `purpose`. If there is none yet it becomes the first free one of `fresh`.
    Default {
        /// What it is kept for: the same text always leads to the same name.
        purpose: &'a str,
        /// Random names to choose from.
        fresh: &'a [Hostname],
    },
    /// The one that has this port. If the tenant has none on it, it gets the first free name of `fresh`.
    Port {
        /// The port.
        port: NonZeroU16,
        /// Random names to choose from.
        fresh: &'a [Hostname],
    },
}

/// An endpoint that is now held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its host name.
    pub hostname: Hostname,
    /// The epoch in which it is held.
    pub epoch: Epoch,
    /// Its public port, if ports were on offer.
    pub port: Option<NonZeroU16>,
}

/// Why an endpoint was not claimed.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// The name belongs to somebody else, or is for another kind.
    #[error("this name is not available")]
    NotYours,
    /// A newer instance holds the endpoint.
    #[error("a newer agent serves this endpoint")]
    Replaced,
    /// The tenant has [`ENDPOINTS_PER_TENANT_MAX`] endpoints.
    #[error("the tenant has as many endpoints as it may")]
    LimitReached,
    /// Nobody owns the name, and there is no permit to reserve one.
    #[error("reserving a name is not permitted")]
    ReserveNotPermitted,
    /// The API key was revoked or has expired, or its tenant is suspended.
    #[error("the API key is not valid any more")]
    KeyNotValid,
    /// There is no port for it.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Endpoints<'_> {
    /// Claims an endpoint of the permit's tenant for an instance; with a permit to reserve, a name that nobody owns
    /// becomes the tenant's first. Of several claims at once exactly one tenant gets the name.
    ///
    /// # Errors
    /// See [`ClaimError`].
    pub async fn claim(
        &self,
        bind: &Permit,
        reserve: Option<&Permit>,
        request: &ClaimRequest<'_>,
    ) -> Result<ClaimedEndpoint, ClaimError> {
        let (tenant, scope) = tenant_scope(bind, Action::BindEndpoint)?;
        if let Some(reserve) = reserve
            && tenant_scope(reserve, Action::ReserveEndpoint)?.0 != tenant
        {
            return Err(StoreError::Permit.into());
        }
        // A round that loses the race for a name finds it owned in the next one.
        for hostname in request.name.candidates() {
            let mut tx = self.engine.write(scope).await?;
            let mut claimed = match claim_owned(&mut tx, tenant, request.name, request).await? {
                Some(claimed) => claimed,
                // Somebody else's reservation may have been committed since the statement before: ask once more.
                None if owns(&mut tx, tenant, request).await? => {
                    claim_owned(&mut tx, tenant, request.name, request).await?.ok_or(ClaimError::Replaced)?
                }
                None if reserve.is_none() => return Err(ClaimError::ReserveNotPermitted),
                None if reserve_name(&mut tx, tenant, hostname, request).await? => {
                    let reserved = Name::Hostname(hostname);
                    claim_owned(&mut tx, tenant, reserved, request).await?.ok_or(ClaimError::Replaced)?
                }
                None => continue,
            };
            if let Some(offer) = &request.ports {
                let wanted = Wanted { endpoint: claimed.id, tenant, kind: request.kind, at: request.at };
                claimed.port = Some(ports::lease(&mut tx, &wanted, offer).await?);
            }
            tx.commit().await?;
            return Ok(claimed);
        }
        Err(ClaimError::NotYours)
    }

    /// Gives an endpoint back if it is still held in `epoch`. Needs no permit: a node returns what it was given.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn release(&self, id: EndpointId, epoch: Epoch) -> Result<bool, StoreError> {
        let mut tx = self.engine.write(Scope::Everything(Unscoped::NodeRelease)).await?;
        let released = tx.execute(RELEASE, [id.into(), epoch.into()]).await? == 1;
        tx.commit().await?;
        Ok(released)
    }

    /// Keeps an endpoint's port for it until `kept_until`, if it is held in `epoch`. Needs no permit: a node goes on with
    /// what it was given.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn renew(
        &self,
        id: EndpointId,
        epoch: Epoch,
        kept_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.engine.write(Scope::Everything(Unscoped::NodeRenewal)).await?;
        let renewed = ports::renew(&mut tx, id, epoch, kept_until).await?;
        tx.commit().await?;
        Ok(renewed)
    }

    /// The kind of the endpoint of this name. Needs no permit: a visitor asks, and learns only this.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn kind_of(&self, hostname: &Hostname) -> Result<Option<EndpointKind>, StoreError> {
        let mut tx = self.engine.read(Scope::Everything(Unscoped::HostnameLookup)).await?;
        let Some(row) = tx.optional::<KindRow, _>(BY_HOSTNAME, [hostname.into()]).await? else {
            return Ok(None);
        };
        kind(row.kind).map(Some)
    }
}

impl<'a> Name<'a> {
    /// The names to try to reserve, one per round. An exact name gets a second round, to look again after a lost race.
    fn candidates(self) -> impl Iterator<Item = &'a Hostname> + Send {
        let (exact, fresh): (_, &[Hostname]) = match self {
            Self::Hostname(name) => (Some(name), &[]),
            Self::Default { fresh, .. } | Self::Port { fresh, .. } => (None, fresh),
        };
        exact.into_iter().cycle().take(2).chain(fresh)
    }

    fn claim(self) -> (Statement<9>, Value) {
        match self {
            Self::Hostname(name) => (CLAIM_HOSTNAME, name.into()),
            Self::Default { purpose, .. } => (CLAIM_DEFAULT, purpose.into()),
            Self::Port { port, .. } => (CLAIM_PORT, port.into()),
        }
    }

    fn owned(self) -> (Statement<3>, Value) {
        match self {
            Self::Hostname(name) => (OWN_HOSTNAME, name.into()),
            Self::Default { purpose, .. } => (OWN_DEFAULT, purpose.into()),
            Self::Port { port, .. } => (OWN_PORT, port.into()),
        }
    }

    const fn purpose(self) -> Option<&'a str> {
        match self {
            Self::Hostname(_) | Self::Port { .. } => None,
            Self::Default { purpose, .. } => Some(purpose),
        }
    }
}

async fn claim_owned(
    tx: &mut Transaction,
    tenant: TenantId,
    name: Name<'_>,
    request: &ClaimRequest<'_>,
) -> Result<Option<ClaimedEndpoint>, ClaimError> {
    if request.prior_epoch > Epoch(EPOCH_MAX) {
        return Err(ClaimError::Replaced);
    }
    let (statement, name) = name.claim();
    let values = [
        tenant.into(),
        request.api_key.into(),
        request.at.into(),
        name,
        request.prior_epoch.into(),
        request.instance.into(),
        request.node.into(),
        request.kind.into(),
        i64::from(request.pooled).into(),
    ];
    let row: Option<Row> = tx.optional(statement, values).await?;
    Ok(row.map(Row::into_claimed).transpose()?)
}

/// Whether the tenant owns the name, asked when the claim found no row. First it says whether the key was the reason.
async fn owns(
    tx: &mut Transaction,
    tenant: TenantId,
    request: &ClaimRequest<'_>,
) -> Result<bool, ClaimError> {
    let key = [tenant.into(), request.api_key.into(), request.at.into()];
    if tx.optional::<IdRow, _>(KEY_COUNTS, key).await?.is_none() {
        return Err(ClaimError::KeyNotValid);
    }
    let (statement, name) = request.name.owned();
    let values = [tenant.into(), name, request.kind.into()];
    Ok(tx.optional::<IdRow, _>(statement, values).await?.is_some())
}

/// Reserves a name, or says that somebody was faster; the transaction must then be dropped.
async fn reserve_name(
    tx: &mut Transaction,
    tenant: TenantId,
    hostname: &Hostname,
    request: &ClaimRequest<'_>,
) -> Result<bool, ClaimError> {
    if tx.execute(COUNT_ONE_MORE, [tenant.into(), ENDPOINTS_PER_TENANT_MAX.into()]).await? == 0 {
        return Err(ClaimError::LimitReached);
    }
    // Whoever held it before does not come back to what was removed.
    if request.prior_epoch == Epoch::NONE && reserve_again(tx, tenant, hostname, request).await? {
        return Ok(true);
    }
    let values = [
        EndpointId::new().into(),
        tenant.into(),
        request.kind.into(),
        hostname.into(),
        request.name.purpose().into(),
        request.at.into(),
    ];
    Ok(tx.execute(RESERVE, values).await? == 1)
}

async fn reserve_again(
    tx: &mut Transaction,
    tenant: TenantId,
    hostname: &Hostname,
    request: &ClaimRequest<'_>,
) -> Result<bool, ClaimError> {
    let values = [
        tenant.into(),
        request.kind.into(),
        hostname.into(),
        request.name.purpose().into(),
        request.at.into(),
    ];
    let Some(IdRow { id }) = tx.optional(RESERVE_AGAIN, values).await? else { return Ok(false) };
    ports::leave_others(tx, id.into(), request.kind).await?;
    Ok(true)
}

fn kind(code: i64) -> Result<EndpointKind, StoreError> {
    let kind = u8::try_from(code).ok().and_then(EndpointKind::from_code);
    kind.ok_or(StoreError::Corrupt("an endpoint's kind"))
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct KindRow {
    kind: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    hostname: String,
    epoch: i64,
}

impl Row {
    fn into_claimed(self) -> Result<ClaimedEndpoint, StoreError> {
        Ok(ClaimedEndpoint {
            id: self.id.into(),
            hostname: Hostname::parse(&self.hostname).map_err(|_| StoreError::Corrupt("a host name"))?,
            epoch: Epoch(u64::try_from(self.epoch).map_err(|_| StoreError::Corrupt("an epoch"))?),
            port: None,
        })
    }
}
