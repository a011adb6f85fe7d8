//! A server whose every step the test decides: its API answers what it is told to, its node says what the test says.

mod api;
mod network;
mod node;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_domain::id::{ApiKeyId, CapabilityId, NodeId, TenantId};
use adit_domain::{Plan, Rights, Timestamp};
use adit_net::connection::Connection;
use adit_net::tls::{DevCa, Resolver, agent_server, public_server};
use adit_process::clock::wall_micros;
use adit_process::tasks::Tasks;
use adit_wire::ALPN;
use adit_wire::capability::{AgentPublicKey, Capability, KeyRing, MintKey, Scope, SignedCapability};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::time::timeout;

pub use api::{ApiAnswer, Exchange};
pub use network::{Entrance, Network};
pub use node::NodeSession;

/// No wait of a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

const MINTING_KEY: u32 = 7;

pub struct FakeServer {
    pub ca_file: PathBuf,
    pub node_id: NodeId,
    api: Arc<Entrance>,
    node: Entrance,
    node_tls: Arc<ServerConfig>,
    web_tls: Arc<ServerConfig>,
    script: Arc<Script>,
    tasks: Tasks,
    _folder: TempDir,
}

/// What the API answers, and what it was asked.
pub struct Script {
    answers: Mutex<VecDeque<ApiAnswer>>,
    exchanges: Mutex<Vec<Exchange>>,
    lifetime: Mutex<Duration>,
    mint: MintKey,
    node_port: u16,
}

impl FakeServer {
    pub async fn start() -> Self {
        let [api, node] = [Entrance::tcp().await, Entrance::tcp().await];
        let server = Self::behind([api, node]);
        server.serve_api();
        server
    }

    /// One that is reached through this network only, and whose API does not answer yet.
    pub fn in_memory() -> (Self, Arc<Network>) {
        let (entrances, network) = Network::new();
        (Self::behind(entrances), Arc::new(network))
    }

    fn behind([api, node]: [Entrance; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_micros(wall_micros());
        let ca = Arc::new(DevCa::create_or_load(folder.path(), now).unwrap());
        let resolver = Resolver::new(vec![Arc::new(ca.leaves(|_| true))]);
        let script = Arc::new(Script {
            answers: Mutex::default(),
            exchanges: Mutex::default(),
            lifetime: Mutex::new(Duration::from_hours(24)),
            mint: MintKey::generate(MINTING_KEY).unwrap(),
            node_port: node.port(),
        });
        Self {
            ca_file: ca.ca_pem_path().to_owned(),
            node_id: NodeId::new(),
            api: Arc::new(api),
            node,
            node_tls: agent_server(resolver.clone(), ALPN).unwrap(),
            web_tls: public_server(resolver).unwrap(),
            script,
            tasks: Tasks::new("fake server"),
            _folder: folder,
        }
    }

    /// From now on the API answers.
    pub fn serve_api(&self) {
        let (api, script) = (Arc::clone(&self.api), Arc::clone(&self.script));
        drop(self.tasks.spawn("api", api::serve(api, self.web_tls(), script, self.tasks.clone())));
    }

    /// The next connection to the API, about which it says nothing.
    pub async fn knock_at_api(&self) -> Box<dyn Connection> {
        timeout(PATIENCE, self.api.accept()).await.unwrap()
    }

    /// The next connection to the node, about which it says nothing.
    pub async fn knock_at_node(&self) -> Box<dyn Connection> {
        timeout(PATIENCE, self.node.accept()).await.unwrap()
    }

    /// What `--server` is given.
    pub fn address(&self) -> String {
        format!("localhost:{}", self.api.port())
    }

    /// The API gives this answer to the next exchange that no other answer waits for. Without one it says yes.
    pub fn answer_next(&self, answer: ApiAnswer) {
        self.script.answers.lock().unwrap().push_back(answer);
    }

    /// How long the capabilities of coming exchanges last.
    pub fn lifetime(&self, lifetime: Duration) {
        *self.script.lifetime.lock().unwrap() = lifetime;
    }

    /// A capability for the agent that asked last, other than the one that it got.
    pub fn another_capability(&self) -> SignedCapability {
        let asked = self.exchanges().pop().unwrap().request;
        self.script.mint(AgentPublicKey::from_hex(&asked.agent_public_key).unwrap(), Duration::from_hours(1))
    }

    /// TLS with a certificate that only those trust who were told to.
    pub fn web_tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.web_tls)
    }

    /// Every exchange so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.script.exchanges.lock().unwrap().clone()
    }
}

impl Script {
    fn mint(&self, agent: AgentPublicKey, lifetime: Duration) -> SignedCapability {
        let now = Timestamp::from_micros(wall_micros());
        self.mint.sign(&Capability {
            id: CapabilityId::new(),
            tenant: TenantId::new(),
            api_key: ApiKeyId::new(),
            agent_public_key: agent,
            scope: Scope::Tenant,
            rights: Rights::AGENT,
            limits: Plan::default().limits(),
            issued_at: now,
            expires_at: now.plus(lifetime),
            revision: 0,
            key_id: MINTING_KEY,
        })
    }

    fn ring(&self) -> KeyRing {
        let mut ring = KeyRing::new();
        let (id, public) = self.mint.public();
        ring.insert(id, public).unwrap();
        ring
    }
}
