//! What the operator does at the machine itself: tenants, API keys, capabilities, endpoints, usage.

use std::time::Duration;

use adit_domain::access::{Action, Actor, Denied, Permit, Resource, authorize};
use adit_domain::id::{ApiKeyId, CapabilityId, TenantId};
use adit_domain::{ApiKey, Hostname, Plan, Rights};
use adit_store::{
    ApiKeyRecord, CapabilityRecord, CreateTenantError, EndpointRecord, NewApiKey, Revocation, Store,
    StoreError, Tenant, UsageRecord,
};
use thiserror::Error;

use crate::Clock;
use crate::key_hash;
use crate::limits::NAME_BYTES_MAX;

const DAY: Duration = Duration::from_hours(24);

/// The operator's work on a store. It needs no running control plane: nodes learn of it through the change feed.
#[derive(Debug, Clone)]
pub struct Admin {
    store: Store,
    clock: Clock,
}

/// An API key that was just made. The only time that it can be seen.
#[derive(Debug)]
pub struct CreatedKey {
    /// Its id, by which it is revoked.
    pub id: ApiKeyId,
    /// The key.
    pub key: ApiKey,
}

/// Into what usage is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// One sum for each endpoint.
    Endpoint,
    /// One for each endpoint and hour.
    Hour,
}

/// What a tenant's endpoints carried.
#[derive(Debug)]
pub struct TenantUsage {
    /// The tenant's name.
    pub tenant: String,
    /// Its endpoints' rows.
    pub rows: Vec<UsageRecord>,
}

/// The endpoints of a tenant.
#[derive(Debug)]
pub struct TenantEndpoints {
    /// The tenant's name.
    pub tenant: String,
    /// What it has.
    pub endpoints: Vec<EndpointRecord>,
}

/// Why an operation was not done.
#[derive(Debug, Error)]
pub enum AdminError {
    /// A name that is empty, too long, or has white space around it or control characters in it.
    #[error("a name has 1 to 64 bytes, no control characters and no space around it")]
    NameInvalid,
    /// Another tenant has this name.
    #[error("a tenant named {0} exists")]
    NameTaken(String),
    /// There is no such tenant.
    #[error("there is no tenant named {0}")]
    TenantUnknown(String),
    /// There is no such endpoint.
    #[error("there is no endpoint named {0}: `aditd admin endpoint list` shows them with their whole names")]
    EndpointUnknown(String),
    /// The operating system has no randomness to give.
    #[error("cannot make an API key")]
    Randomness(#[from] getrandom::Error),
    /// The operator may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Admin {
    /// Works on an open store.
    #[must_use]
    pub const fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn create_tenant(&self, name: &str) -> Result<TenantId, AdminError> {
        check_name(name)?;
        let id = TenantId::new();
        match self.store.tenants().create(&installation()?, id, name, self.clock.now()).await {
            Ok(()) => Ok(id),
            Err(CreateTenantError::NameTaken) => Err(AdminError::NameTaken(name.to_owned())),
            Err(CreateTenantError::Store(error)) => Err(error.into()),
        }
    }

    /// The tenants, newest first.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn tenants(&self) -> Result<Vec<Tenant>, AdminError> {
        Ok(self.store.tenants().list(&installation()?).await?)
    }

    /// Puts a tenant on another plan. Its agents are held to it when they renew their capabilities, within the hour, and
    /// those that start at once.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn set_plan(&self, tenant: &str, plan: Plan) -> Result<(), AdminError> {
        let is_known = self.store.tenants().set_plan(&installation()?, tenant, plan).await?;
        if is_known { Ok(()) } else { Err(AdminError::TenantUnknown(tenant.to_owned())) }
    }

    /// Makes an API key for a tenant, valid for ever or for as long as is said.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn create_api_key(
        &self,
        tenant: &str,
        name: &str,
        lifetime: Option<Duration>,
    ) -> Result<CreatedKey, AdminError> {
        check_name(name)?;
        let tenant = self.tenant(tenant).await?;
        let (id, key, now) = (ApiKeyId::new(), ApiKey::generate()?, self.clock.now());
        let new = NewApiKey {
            id,
            name,
            hash: key_hash::hash(&key),
            hint: key.last4(),
            rights: Rights::AGENT,
            created_at: now,
            expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
        };
        self.store.api_keys().create(&manage(tenant)?, &new).await?;
        Ok(CreatedKey { id, key })
    }

    /// A tenant's API keys, revoked ones too, newest first.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn api_keys(&self, tenant: &str) -> Result<Vec<ApiKeyRecord>, AdminError> {
        let tenant = self.tenant(tenant).await?;
        Ok(self.store.api_keys().list(&manage(tenant)?).await?)
    }

    /// Revokes an API key. Its live sessions end within 5 s.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn revoke_api_key(&self, id: ApiKeyId) -> Result<Revocation, AdminError> {
        let Some(tenant) = self.store.api_keys().owner(&installation()?, id).await? else {
            return Ok(Revocation::Unknown);
        };
        Ok(self.store.api_keys().revoke(&manage(tenant)?, id, self.clock.now()).await?)
    }

    /// A tenant's capabilities that have not ended, revoked ones too, newest first.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn capabilities(&self, tenant: &str) -> Result<Vec<CapabilityRecord>, AdminError> {
        let tenant = self.tenant(tenant).await?;
        Ok(self.store.capabilities().list(&manage(tenant)?, self.clock.now()).await?)
    }

    /// Revokes one capability. Its live sessions end within 5 s; its API key can make another one.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn revoke_capability(&self, id: CapabilityId) -> Result<Revocation, AdminError> {
        let Some(tenant) = self.store.capabilities().owner(&installation()?, id).await? else {
            return Ok(Revocation::Unknown);
        };
        Ok(self.store.capabilities().revoke(&manage(tenant)?, id, self.clock.now()).await?)
    }

    /// What endpoints carried in the last `days`, of one tenant or of all. The hour that goes on is in it, up to a few
    /// seconds ago.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn usage(
        &self,
        tenant: Option<&str>,
        days: u32,
        grouping: Grouping,
    ) -> Result<Vec<TenantUsage>, AdminError> {
        let tenants = self.one_or_all(tenant).await?;
        let since = self.clock.now().minus(DAY.saturating_mul(days));
        let mut all = Vec::with_capacity(tenants.len());
        for (id, tenant) in tenants {
            let permit = authorize(&Actor::Operator, Action::ReadUsage, &Resource::Tenant(id))?;
            let usage = self.store.usage();
            let rows = match grouping {
                Grouping::Endpoint => usage.totals(&permit, since).await?,
                Grouping::Hour => usage.by_hour(&permit, since).await?,
            };
            all.push(TenantUsage { tenant, rows });
        }
        Ok(all)
    }

    /// What endpoints there are, of one tenant or of all.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn endpoints(&self, tenant: Option<&str>) -> Result<Vec<TenantEndpoints>, AdminError> {
        let tenants = self.one_or_all(tenant).await?;
        let mut all = Vec::with_capacity(tenants.len());
        for (id, tenant) in tenants {
            let endpoints = self.store.endpoints().list(&manage_endpoints(id)?).await?;
            all.push(TenantEndpoints { tenant, endpoints });
        }
        Ok(all)
    }

    /// Removes the endpoint with this host name. Whoever serves it is told within 5 s, and does not come back to it; the
    /// name stays its tenant's, who can reserve it again.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn remove_endpoint(&self, hostname: &str) -> Result<(), AdminError> {
        let unknown = || AdminError::EndpointUnknown(hostname.to_owned());
        let name = Hostname::parse(hostname).map_err(|_| unknown())?;
        let endpoints = self.store.endpoints();
        let tenant = endpoints.owner(&installation()?, &name).await?.ok_or_else(unknown)?;
        let is_removed = endpoints.remove(&manage_endpoints(tenant)?, &name, self.clock.now()).await?;
        if is_removed { Ok(()) } else { Err(unknown()) }
    }

    async fn one_or_all(&self, tenant: Option<&str>) -> Result<Vec<(TenantId, String)>, AdminError> {
        Ok(match tenant {
            Some(name) => vec![(self.tenant(name).await?, name.to_owned())],
            None => self.tenants().await?.into_iter().map(|tenant| (tenant.id, tenant.name)).collect(),
        })
    }

    async fn tenant(&self, name: &str) -> Result<TenantId, AdminError> {
        let tenant = self.store.tenants().by_name(&installation()?, name).await?;
        Ok(tenant.ok_or_else(|| AdminError::TenantUnknown(name.to_owned()))?.id)
    }
}

fn check_name(name: &str) -> Result<(), AdminError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && name.trim() == name && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(AdminError::NameInvalid)
    }
}

fn installation() -> Result<Permit, Denied> {
    authorize(&Actor::Operator, Action::CreateTenant, &Resource::Installation)
}

fn manage(tenant: TenantId) -> Result<Permit, Denied> {
    authorize(&Actor::Operator, Action::ManageKeys, &Resource::Tenant(tenant))
}

fn manage_endpoints(tenant: TenantId) -> Result<Permit, Denied> {
    authorize(&Actor::Operator, Action::ManageEndpoints, &Resource::Tenant(tenant))
}
