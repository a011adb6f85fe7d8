//! An agent made by hand: it proves its key, binds, and answers each stream as the test says.

use std::time::Duration;

use adit_domain::id::{InstanceId, TenantId};
use adit_domain::{EndpointKind, Epoch, Handling, Hostname, Pooling, Timestamp, UpstreamProtocol};
use adit_mux::{Config, Control, Incoming};
use adit_net::connection::Connection;
use adit_net::tls;
use adit_process::tasks::Tasks;
use adit_wire::capability::{AgentKey, Capability, SignedCapability};
use adit_wire::control::{Bind, Bound, Frame};
use adit_wire::preface::{AGENT_PREFACE_LEN, AgentPreface, SERVER_PREFACE_LEN, ServerPreface, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::node::TestNode;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// What an agent brings along.
pub struct Identity {
    pub key: AgentKey,
    pub tenant: TenantId,
    pub capability: Capability,
    pub signed: SignedCapability,
}

/// A session, seen from the agent.
pub struct TestAgent {
    pub incoming: Incoming,
    pub control: Control,
    pub instance: InstanceId,
    /// How it shares what it binds.
    pub pooling: Option<Pooling>,
    /// How it wants requests handled.
    pub handling: Handling,
    /// What the upstream of what it binds speaks.
    pub protocol: UpstreamProtocol,
}

pub fn now() -> Timestamp {
    Timestamp::from_micros(adit_process::clock::wall_micros())
}

impl Identity {
    pub fn of(node: &TestNode, tenant: TenantId) -> Self {
        let key = AgentKey::generate().unwrap();
        let life = Duration::from_hours(1);
        let (capability, signed) = node.authority.capability(&key, tenant, now(), life);
        Self { key, tenant, capability, signed }
    }
}

/// A connection to the node, past its TLS handshake.
pub async fn handshake(node: &TestNode) -> TlsStream<Box<dyn Connection>> {
    let config = tls::agent_client(&node.roots, adit_wire::ALPN).unwrap();
    let io = node.dial_https().await;
    tls::connect(config, "localhost", io, Instant::now() + PATIENCE).await.unwrap()
}

/// Sends a preface over a fresh connection and returns the node's answer with the connection.
pub async fn preface(
    node: &TestNode,
    identity: &Identity,
    instance: InstanceId,
) -> (ServerPreface, TlsStream<Box<dyn Connection>>) {
    let mut io = handshake(node).await;
    io.write_all(&signed(&io, identity, instance)).await.unwrap();
    io.flush().await.unwrap();
    let mut answer = [0; SERVER_PREFACE_LEN];
    io.read_exact(&mut answer).await.unwrap();
    (ServerPreface::decode(&answer).unwrap(), io)
}

/// The preface of an agent on this connection.
pub fn signed(
    io: &TlsStream<Box<dyn Connection>>,
    identity: &Identity,
    instance: InstanceId,
) -> [u8; AGENT_PREFACE_LEN] {
    let exporter = tls::exporter(io.get_ref().1, adit_wire::EXPORTER_LABEL).unwrap();
    let (version_min, version_max) = (adit_wire::VERSION, adit_wire::VERSION);
    let capability = identity.signed.clone();
    AgentPreface { version_min, version_max, features: 0, capability, instance }
        .sign(&identity.key, &exporter)
}

/// Asks for a name in the plainest way.
pub fn bind(name: &str, instance: InstanceId) -> Bind {
    Bind {
        request: 7,
        kind: EndpointKind::Http,
        hostname: Some(Hostname::parse(name).unwrap()),
        port: None,
        label: "3000".to_owned(),
        upstream: UpstreamProtocol::Http1,
        host_header: String::new(),
        instance,
        prior_epoch: Epoch::NONE,
        pooling: None,
        handling: Handling::default(),
    }
}

impl TestAgent {
    pub async fn connect(node: &TestNode, identity: &Identity) -> Self {
        Self::connect_as(node, identity, InstanceId::new()).await
    }

    pub async fn connect_as(node: &TestNode, identity: &Identity, instance: InstanceId) -> Self {
        let (answer, io) = preface(node, identity, instance).await;
        assert_eq!(answer.status, Status::Ok);
        Self::over(io, instance)
    }

    /// On a connection past its preface.
    pub fn over<S>(io: S, instance: InstanceId) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (incoming, control, driver) = adit_mux::connect(io, &Config::default());
        drop(Tasks::new("test agent").spawn("driver", driver.run()));
        let (pooling, handling, protocol) = (None, Handling::default(), UpstreamProtocol::Http1);
        Self { incoming, control, instance, pooling, handling, protocol }
    }

    /// Asks for a name and returns the node's answer.
    pub async fn ask(&mut self, name: &str, prior_epoch: Epoch) -> Frame {
        self.send_bind(name, prior_epoch).await;
        self.hear().await
    }

    pub async fn send_bind(&self, name: &str, prior_epoch: Epoch) {
        let bind = Bind {
            upstream: self.protocol,
            prior_epoch,
            pooling: self.pooling,
            handling: self.handling,
            ..bind(name, self.instance)
        };
        self.control.send(&Frame::Bind(bind)).await.unwrap();
    }

    pub async fn bind(&mut self, name: &str) -> Bound {
        match self.ask(name, Epoch::NONE).await {
            Frame::Bound(bound) => bound,
            other => panic!("not bound: {other:?}"),
        }
    }

    /// The next frame of the node.
    pub async fn hear(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.control.recv()).await.unwrap().unwrap()
    }
}
