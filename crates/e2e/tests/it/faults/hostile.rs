//! F29: whoever is hostile and busy while something else fails: an agent with a valid key that misuses yamux, and visitors
//! who flood in HTTP/1 and HTTP/2.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_domain::id::InstanceId;
use adit_e2e::{Key, RawFrame, RawHttp2, Stack, Visitor, full, text, within};
use adit_process::tasks::{Task, Tasks};
use adit_testkit::yamux::{Trap, hello};
use adit_wire::capability::{AgentKey, SignedCapability};
use adit_wire::preface::{AgentPreface, SERVER_PREFACE_LEN, ServerPreface, Status};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::{MissedTickBehavior, interval};

/// One of them begins again this often: what is tested is not how much two processors can do. Longer runs would fill the
/// server's log beyond what somebody reads.
const EVERY: Duration = Duration::from_millis(200);
const EVERY_FULL: Duration = Duration::from_millis(500);

/// What a hostile agent says in a session, in bytes.
const SAID: usize = 64 * 1024;
const SAID_FULL: usize = 1024 * 1024;

/// Requests and frames of one flood: more than is taken without an answer or a limit.
const FLOOD: usize = 2_000;

const STEP_WITHIN: Duration = Duration::from_mins(2);

/// Nobody else comes from here, so that what an address may do is theirs alone.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 66, 6);

/// The hostile, until they are told to leave.
pub(super) struct Hostiles {
    stop: Arc<AtomicBool>,
    actors: Vec<Task<Result<usize>>>,
}

impl Hostiles {
    /// They come, and go on.
    pub(super) async fn come(stack: &Stack) -> Result<Self> {
        let key = stack.tenant("hostile").await?;
        let agent = HostileAgent::sign_in(stack, &key).await?;
        let nobody = Visitor::new(stack, &format!("hostile.{}", stack.domain()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = Tasks::new("hostile");
        let actors = vec![
            tasks.spawn("agent", misuses_yamux(agent, Arc::clone(&stop))),
            tasks.spawn("visitor", floods_http1(nobody.clone(), stack.http(), Arc::clone(&stop))),
            tasks.spawn("visitor", floods_http2(nobody, Arc::clone(&stop))),
        ];
        Ok(Self { stop, actors })
    }

    /// They go. Each has done something, and was treated as it must be.
    pub(super) async fn leave(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        for actor in self.actors {
            ensure!(within("the hostile leave", STEP_WITHIN, actor).await??? > 0, "nothing was done");
        }
        Ok(())
    }
}

/// Somebody with an API key, and no good intentions.
struct HostileAgent {
    visitor: Visitor,
    target: SocketAddr,
    key: AgentKey,
    capability: SignedCapability,
}

impl HostileAgent {
    async fn sign_in(stack: &Stack, api_key: &Key) -> Result<Self> {
        let key = AgentKey::generate()?;
        let visitor = Visitor::new(stack, stack.app_host())?;
        let mut connection = visitor.https().await?;
        let body = json!({
            "agent_public_key": key.public().to_hex(),
            "instance": InstanceId::new().to_string(),
            "agent_version": "hostile",
        });
        let mut request =
            connection.request(Method::POST, "/api/v1/agent/capability", text(body.to_string()))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", api_key.secret))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = connection.send(request).await?;
        ensure!(answer.status() == http::StatusCode::OK, "{}", answer.status());
        let answer: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        let capability = SignedCapability::from_hex(answer["capability"].as_str().context("no capability")?)?;
        Ok(Self { visitor, target: stack.https(), key, capability })
    }

    /// A session, and what is done with it.
    async fn misuse(&self, trap: Trap) -> Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((FROM, 0).into())?;
        let tcp = within("a connection", STEP_WITHIN, socket.connect(self.target)).await??;
        let mut io = self.visitor.tls_over(tcp, &["adit/1"]).await?;
        let exporter = io.get_ref().1.export_keying_material([0; 32], adit_wire::EXPORTER_LABEL, None)?;
        let preface = AgentPreface {
            version_min: adit_wire::VERSION,
            version_max: adit_wire::VERSION,
            features: 0,
            capability: self.capability.clone(),
            instance: InstanceId::new(),
        };
        io.write_all(&preface.sign(&self.key, &exporter)).await?;
        io.flush().await?;
        let mut answer = [0; SERVER_PREFACE_LEN];
        within("the node's preface", STEP_WITHIN, io.read_exact(&mut answer)).await??;
        let status = ServerPreface::decode(&answer)?.status;
        ensure!(status == Status::Ok, "{status}");
        let ended = trap.set(io, &hello(&[])?, if full() { SAID_FULL } else { SAID }).await?;
        ensure!(ended == trap.ending(), "{trap:?} ended as {ended:?}");
        Ok(())
    }
}

async fn misuses_yamux(agent: HostileAgent, stop: Arc<AtomicBool>) -> Result<usize> {
    // This one takes a minute until it is given up.
    let is_slow = |trap: &Trap| *trap == Trap::NeverReadPongs && !full();
    let traps: Vec<Trap> = Trap::ALONE.into_iter().filter(|trap| !is_slow(trap)).collect();
    let mut done = 0;
    let mut beats = beats();
    for trap in traps.iter().cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        beats.tick().await;
        agent.misuse(*trap).await?;
        done += 1;
    }
    Ok(done)
}

/// Requests without end on one connection, of which no answer is read; and then half of one.
async fn floods_http1(visitor: Visitor, target: SocketAddr, stop: Arc<AtomicBool>) -> Result<usize> {
    let asked = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", visitor.http_authority()).repeat(FLOOD);
    let broken =
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    let (mut done, mut beats) = (0, beats());
    while !stop.load(Ordering::SeqCst) {
        beats.tick().await;
        for said in [asked.as_str(), broken] {
            let socket = TcpSocket::new_v4()?;
            socket.bind((FROM, 0).into())?;
            let mut io = within("a connection", STEP_WITHIN, socket.connect(target)).await??;
            // The node may end it at any time, and takes no more than it can answer.
            let _ = tokio::time::timeout(EVERY, io.write_all(said.as_bytes())).await;
            done += 1;
        }
    }
    Ok(done)
}

/// What each connection is flooded with until the node ends it.
async fn floods_http2(visitor: Visitor, stop: Arc<AtomicBool>) -> Result<usize> {
    let (mut done, mut beats) = (0, beats());
    let authority = visitor.https_authority();
    let head = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", authority.as_str())];
    while !stop.load(Ordering::SeqCst) {
        beats.tick().await;
        let mut resets = RawHttp2::open(&visitor).await?;
        for stream in (1..).step_by(2).take(FLOOD) {
            let sent = async {
                resets.send_head(RawFrame::END_STREAM, stream, &head).await?;
                resets.send(RawFrame::RST_STREAM, 0, stream, &[0; 4]).await
            };
            if sent.await.is_err() {
                break;
            }
        }
        let mut settings = RawHttp2::open(&visitor).await?;
        for _ in 0..FLOOD {
            if settings.send(RawFrame::SETTINGS, 0, 0, &[]).await.is_err() {
                break;
            }
        }
        done += 1;
    }
    Ok(done)
}

fn beats() -> tokio::time::Interval {
    let mut beats = interval(if full() { EVERY_FULL } else { EVERY });
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}
