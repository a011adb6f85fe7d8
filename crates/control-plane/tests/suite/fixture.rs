//! A control plane on a fresh SQLite file, with a clock that the test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use adit_api::capability::{CapabilityRequest, CapabilityResponse, NodeAddress, PATH};
use adit_authority::{Change, Directory, Sequence};
use adit_control_plane::{Admin, Clock, ControlPlane, CreatedKey, Settings};
use adit_domain::id::InstanceId;
use adit_domain::{ApiKey, Hostname, Timestamp};
use adit_store::{DatabaseUrl, Store};
use adit_wire::capability::{AgentKey, AgentPublicKey, Capability, KeyRing, SignedCapability};
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct Fixture {
    pub(crate) control_plane: ControlPlane,
    pub(crate) admin: Admin,
    pub(crate) store: Store,
    pub(crate) url: DatabaseUrl,
    micros: Arc<AtomicI64>,
    _folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("adit.db"));
        let store = Store::open(&url).await.unwrap();
        let micros = Arc::new(AtomicI64::new(1_795_222_812_000_000));
        let seen = Arc::clone(&micros);
        let clock = Clock::new(move || Timestamp::from_micros(seen.load(Ordering::Relaxed)));
        let control_plane = ControlPlane::start(store.clone(), settings(), clock.clone()).await.unwrap();
        let admin = Admin::new(store.clone(), clock);
        admin.create_tenant("acme").await.unwrap();
        Self { control_plane, admin, store, url, micros, _folder: folder }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.micros.store(self.now().plus(time).as_micros(), Ordering::Relaxed);
    }

    pub(crate) async fn key(&self) -> CreatedKey {
        self.admin.create_api_key("acme", "laptop", None).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.control_plane.app().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Exchanges a key as an agent does.
    pub(crate) async fn exchange(&self, key: &ApiKey, agent: AgentPublicKey) -> Answer {
        self.send(post(key, serde_json::to_vec(&asks(agent)).unwrap())).await
    }

    /// Exchanges a key and verifies the capability as a node does.
    pub(crate) async fn capability(&self, key: &ApiKey) -> Capability {
        let answer = self.exchange(key, agent_key().public()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let response: CapabilityResponse = serde_json::from_slice(&answer.body).unwrap();
        self.verified(&SignedCapability::from_hex(&response.capability).unwrap()).await
    }

    /// Verifies with the keys that the change feed publishes.
    pub(crate) async fn verified(&self, signed: &SignedCapability) -> Capability {
        let mut ring = KeyRing::new();
        for change in self.control_plane.changes(Sequence::START, Duration::ZERO).await.unwrap().changes {
            match change {
                Change::SigningKey { key_id, public_key } => ring.insert(key_id, public_key).unwrap(),
                Change::SigningKeyRetired { key_id } => ring.remove(key_id),
                _ => {}
            }
        }
        ring.verify(signed, self.now()).unwrap()
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        domain: hostname("example.com"),
        reserved: vec![hostname("app.example.com")],
        tcp_ports: Some("20000-20001".parse().unwrap()),
        udp_ports: Some("20001-20002".parse().unwrap()),
        nodes: vec![NodeAddress {
            host: "node.example.net".into(),
            port: 443,
            sni: "node.example.net".into(),
        }],
        trust_roots: vec!["pem".into()],
    }
}

pub(crate) fn hostname(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

pub(crate) fn agent_key() -> AgentKey {
    AgentKey::from_seed(&[5; 32])
}

pub(crate) fn asks(agent: AgentPublicKey) -> CapabilityRequest {
    CapabilityRequest {
        agent_public_key: agent.to_hex(),
        instance: InstanceId::from_bytes([1; 16]),
        agent_version: "0.1.0".into(),
    }
}

pub(crate) fn post(key: &ApiKey, body: impl Into<Body>) -> Request<Body> {
    let authorization = format!("Bearer {}", key.expose());
    Request::post(PATH).header("authorization", authorization).body(body.into()).unwrap()
}
