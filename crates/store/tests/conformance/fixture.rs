//! A fresh database of either engine, and tenants in it.

use std::sync::Arc;
use std::time::Duration;

use adit_domain::access::{Action, Actor, Permit, Resource, authorize};
use adit_domain::id::{ApiKeyId, CapabilityId, InstanceId, NodeId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, KeyHash, Rights, Timestamp};
use adit_store::{
    ClaimError, ClaimRequest, ClaimedEndpoint, DatabaseUrl, Name, NewApiKey, NewCapability, Store,
};
use adit_testkit::Postgres;
use tempfile::TempDir;

/// Makes a test of an `async fn(Fixture)` on each engine.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(crate::fixture::Fixture::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(crate::fixture::Fixture::postgres().await).await;
            }
        }
    )+};
}
pub(crate) use on_both_engines;

/// An open database of its own. Its server or folder lives as long as this.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) url: DatabaseUrl,
    _folder: Option<TempDir>,
    _server: Option<Arc<Postgres>>,
}

/// A tenant with one API key.
#[derive(Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) key: ApiKeyId,
}

/// The time at which everything in these tests happens.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_795_222_812_345_678);

pub(crate) const DAY: Duration = Duration::from_hours(24);

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("adit.db"));
        Self { store: Store::open(&url).await.unwrap(), url, _folder: Some(folder), _server: None }
    }

    pub(crate) async fn postgres() -> Self {
        let server = Postgres::shared().unwrap();
        let url = DatabaseUrl::parse(&server.database().unwrap()).unwrap();
        Self { store: Store::open(&url).await.unwrap(), url, _folder: None, _server: Some(server) }
    }

    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let id = TenantId::new();
        self.store.tenants().create(&installation(), id, name, NOW).await.unwrap();
        Tenant { id, key: self.key(id, None).await }
    }

    pub(crate) async fn key(&self, tenant: TenantId, expires_at: Option<Timestamp>) -> ApiKeyId {
        let id = ApiKeyId::new();
        let key = NewApiKey {
            id,
            name: "laptop",
            hash: hash_of(id),
            hint: "wxyz",
            rights: Rights::AGENT,
            created_at: NOW,
            expires_at,
        };
        self.store.api_keys().create(&manage(tenant), &key).await.unwrap();
        id
    }

    /// Claims with every right.
    pub(crate) async fn claim(
        &self,
        tenant: Tenant,
        name: Name<'_>,
        instance: InstanceId,
        prior: u64,
    ) -> Result<ClaimedEndpoint, ClaimError> {
        self.claim_as(tenant, name, (instance, prior, false)).await
    }

    /// The same for an instance, its prior epoch, and whether it pools.
    pub(crate) async fn claim_as(
        &self,
        tenant: Tenant,
        name: Name<'_>,
        (instance, prior, pooled): (InstanceId, u64, bool),
    ) -> Result<ClaimedEndpoint, ClaimError> {
        let request = ClaimRequest {
            api_key: tenant.key,
            name,
            kind: EndpointKind::Http,
            ports: None,
            instance,
            prior_epoch: Epoch(prior),
            pooled,
            node: NodeId::from_bytes([7; 16]),
            at: NOW,
        };
        self.store.endpoints().claim(&bind(tenant.id), Some(&reserve(tenant.id)), &request).await
    }
}

/// Any hash, another one for each key.
pub(crate) fn hash_of(key: ApiKeyId) -> KeyHash {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&key.to_bytes());
    KeyHash(hash)
}

pub(crate) fn new_capability(tenant: Tenant) -> NewCapability {
    NewCapability {
        id: CapabilityId::new(),
        api_key: tenant.key,
        agent_public_key: [3; 32],
        instance: InstanceId::new(),
        issued_at: NOW,
        expires_at: NOW.plus(DAY),
    }
}

pub(crate) fn hostname(label: &str) -> Hostname {
    Hostname::parse(&format!("{label}.example.com")).unwrap()
}

pub(crate) fn installation() -> Permit {
    authorize(&Actor::Operator, Action::CreateTenant, &Resource::Installation).unwrap()
}

pub(crate) fn manage(tenant: TenantId) -> Permit {
    authorize(&Actor::Operator, Action::ManageKeys, &Resource::Tenant(tenant)).unwrap()
}

pub(crate) fn issue(tenant: TenantId) -> Permit {
    agent(tenant, Action::IssueCapability)
}

pub(crate) fn bind(tenant: TenantId) -> Permit {
    agent(tenant, Action::BindEndpoint)
}

pub(crate) fn reserve(tenant: TenantId) -> Permit {
    agent(tenant, Action::ReserveEndpoint)
}

fn agent(tenant: TenantId, action: Action) -> Permit {
    let actor = Actor::Agent { tenant, api_key: ApiKeyId::new(), rights: Rights::AGENT };
    authorize(&actor, action, &Resource::Tenant(tenant)).unwrap()
}
