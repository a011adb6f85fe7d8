//! The node: the test takes each agent's connection in its hands.

use adit_domain::id::{EndpointId, RequestId, SessionId};
use adit_domain::{Epoch, Hostname, Timestamp};
use adit_mux::{Config, ControlReceiver, ControlSender, Session, Stream, serve};
use adit_net::connection::Connection;
use adit_net::tls::{accept, exporter};
use adit_process::clock::wall_micros;
use adit_process::tasks::Tasks;
use adit_wire::control::{Bind, BindRefusal, BindRefused, Bound, Frame};
use adit_wire::preface::{AGENT_PREFACE_LEN, AgentPreface, ServerPreface, Status};
use adit_wire::stream::{STREAM_HEADER_VERSION, StreamHeader, StreamKind};
use adit_wire::{EXPORTER_LABEL, VERSION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use super::{FakeServer, PATIENCE};

/// An agent that has shown its preface and waits for the answer.
pub struct Knock {
    pub preface: AgentPreface,
    stream: TlsStream<Box<dyn Connection>>,
    server: ServerPreface,
    tasks: Tasks,
}

/// An agent with a session.
pub struct NodeSession {
    pub control: ControlSender,
    pub frames: ControlReceiver,
    pub session: Session,
}

impl FakeServer {
    /// The next agent that connects. Its capability and its signature were checked.
    pub async fn knock(&self) -> Knock {
        timeout(PATIENCE, self.next_knock()).await.unwrap()
    }

    /// Drops the next connection before a word was said.
    pub async fn hang_up(&self) {
        drop(self.knock_at_node().await);
    }

    /// The next agent, with a session, bound at `demo.test`.
    pub async fn online(&self, epoch: u64) -> (NodeSession, Bind, Bound) {
        let mut session = self.knock().await.welcome().await;
        let bind = session.bind().await;
        let bound = session.bound(&bind, "demo.test", epoch).await;
        (session, bind, bound)
    }

    async fn next_knock(&self) -> Knock {
        let stream = self.node.accept().await;
        let mut stream = accept(self.node_tls.clone(), stream, Instant::now() + PATIENCE).await.unwrap();
        let exporter = exporter(stream.get_ref().1, EXPORTER_LABEL).unwrap();
        let mut block = [0; AGENT_PREFACE_LEN];
        stream.read_exact(&mut block).await.unwrap();
        let (preface, possession) = AgentPreface::decode(&block).unwrap();
        let now = Timestamp::from_micros(wall_micros());
        let capability = self.script.ring().verify(&preface.capability, now).unwrap();
        possession.verify(&capability.agent_public_key, &exporter).unwrap();
        let server = ServerPreface {
            status: Status::Ok,
            version: VERSION,
            features: 0,
            session: SessionId::new(),
            heartbeat_idle_ms: 10_000,
            heartbeat_dead_ms: 15_000,
            streams_max: 100,
            retry_after_ms: 0,
            node: self.node_id,
        };
        Knock { preface, stream, server, tasks: self.tasks.clone() }
    }
}

impl Knock {
    pub async fn refuse(mut self, status: Status, retry_after_ms: u32) {
        let refusal = ServerPreface::refusal(status, retry_after_ms, self.server.node);
        self.stream.write_all(&refusal.encode()).await.unwrap();
        self.stream.shutdown().await.unwrap();
    }

    pub async fn welcome(mut self) -> NodeSession {
        self.stream.write_all(&self.server.encode()).await.unwrap();
        self.stream.flush().await.unwrap();
        let (session, control, driver) = serve(self.stream, &Config::default());
        drop(self.tasks.spawn("fake driver", driver.run()));
        let (control, frames) = control.split();
        NodeSession { control, frames, session }
    }
}

impl NodeSession {
    pub async fn send(&self, frame: Frame) {
        self.control.send(&frame).await.unwrap();
    }

    pub async fn frame(&mut self) -> Frame {
        timeout(PATIENCE, self.frames.recv()).await.unwrap().unwrap()
    }

    pub async fn bind(&mut self) -> Bind {
        match self.frame().await {
            Frame::Bind(bind) => bind,
            other => panic!("{other:?} instead of a bind"),
        }
    }

    pub async fn bound(&self, bind: &Bind, hostname: &str, epoch: u64) -> Bound {
        let bound = answer_to(bind, hostname, epoch);
        self.send(Frame::Bound(bound.clone())).await;
        bound
    }

    /// The same, to an agent that may have left already.
    pub async fn bound_perhaps(&self, bind: &Bind, hostname: &str, epoch: u64) {
        let bound = answer_to(bind, hostname, epoch);
        drop(self.control.send(&Frame::Bound(bound)).await);
    }

    pub async fn refuse_bind(&self, bind: &Bind, reason: BindRefusal, message: &str) {
        let refused =
            BindRefused { request: bind.request, reason, retry_after_ms: 0, message: message.to_owned() };
        self.send(Frame::BindRefused(refused)).await;
    }

    /// A visitor's stream for what was bound.
    pub async fn visitor(&self, bound: &Bound) -> Stream {
        self.visitor_of(bound, StreamKind::Http).await
    }

    /// The same for an endpoint of another kind.
    pub async fn visitor_of(&self, bound: &Bound, kind: StreamKind) -> Stream {
        let header = StreamHeader {
            version: STREAM_HEADER_VERSION,
            kind,
            flags: 0,
            endpoint: bound.endpoint,
            epoch: bound.epoch,
            request: RequestId::new(),
            visitor: "203.0.113.7:1234".parse().unwrap(),
        };
        self.session.open(&header).await.unwrap()
    }

    /// Waits until the connection is gone.
    pub async fn gone(&self) {
        timeout(PATIENCE, self.session.closed().wait()).await.unwrap();
    }
}

fn answer_to(bind: &Bind, hostname: &str, epoch: u64) -> Bound {
    Bound {
        request: bind.request,
        endpoint: EndpointId::new(),
        epoch: Epoch(epoch),
        url: format!("https://{hostname}"),
        hostname: Hostname::parse(hostname).unwrap(),
    }
}
