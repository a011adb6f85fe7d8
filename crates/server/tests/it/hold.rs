//! Requests that wait for an agent or its upstream, requests that go out again, and those that may not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_domain::id::{InstanceId, TenantId};
use adit_domain::{Epoch, Handling, UpstreamProtocol};
use adit_mux::{Answer, Config, Incoming, Stream};
use adit_process::tasks::Tasks;
use adit_server::limits::{HELD_BODY_BYTES_MAX, HOLD_AGENT, HOLD_REFUSED};
use adit_wire::control::{Frame, GoodbyeReason};
use adit_wire::preface::Status;
use adit_wire::record::AbortCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent, preface};
use crate::support::node::TestNode;
use crate::support::visitor::{Response, Visitor};

const HOST: &str = "one.localhost";
/// Not to be reused: each request has a stream of its own.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// An endpoint, and as many idle sessions as leave room for one that serves it: so it can be seen from outside when the
/// node has noticed that it is lost.
struct Place {
    node: TestNode,
    identity: Identity,
    idle: Vec<TestAgent>,
}

impl Place {
    async fn start() -> Self {
        Self::on(TestNode::start()).await
    }

    async fn on(node: TestNode) -> Self {
        let identity = Identity::of(&node, TenantId::new());
        let mut idle = Vec::new();
        for _ in 1..identity.capability.limits.sessions_max {
            idle.push(TestAgent::connect(&node, &identity).await);
        }
        Self { node, identity, idle }
    }

    /// A session once there is room for one.
    async fn session(&self) -> TestAgent {
        let instance = InstanceId::new();
        loop {
            let (answer, io) = preface(&self.node, &self.identity, instance).await;
            if answer.status == Status::Ok {
                let (incoming, control, driver) = adit_mux::connect(io, &Config::default());
                drop(Tasks::new("test agent").spawn("driver", driver.run()));
                let (pooling, handling) = (None, Handling::default());
                let protocol = UpstreamProtocol::Http1;
                return TestAgent { incoming, control, instance, pooling, handling, protocol };
            }
        }
    }

    async fn agent(&self) -> TestAgent {
        let mut agent = self.session().await;
        agent.bind(HOST).await;
        agent
    }

    /// The session is lost, and the node has noticed. Returns the next one, which serves nothing yet.
    async fn lose(&self, agent: TestAgent) -> TestAgent {
        agent.incoming.close("lost");
        self.session().await
    }

    async fn asks(&self, method: &str, body: &str) -> Visitor {
        self.asked(Visitor::connect(self.node.http).await, method, body).await
    }

    async fn asked(&self, mut visitor: Visitor, method: &str, body: &str) -> Visitor {
        let length = body.len();
        let request =
            format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {length}\r\n\r\n{body}");
        visitor.send(&request).await;
        visitor
    }
}

/// An endpoint that nobody has bound since its node began.
async fn restarted() -> Place {
    let before = Place::start().await;
    before.agent().await;
    before.node.trigger.stop();
    let node = TestNode::with(Arc::clone(&before.node.authority), Config::default());
    Place { node, identity: before.identity, idle: Vec::new() }
}

fn assert_answer(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status(), response.header("adit-error")), (status, Some(code)));
}

async fn arrival(incoming: &mut Incoming) -> Stream {
    let next = timeout(Duration::from_mins(1), incoming.next()).await;
    next.expect("a stream in time").expect("the session lives").stream
}

/// The next stream, dialled, and the request on it.
async fn request(incoming: &mut Incoming) -> (Stream, String, Vec<u8>) {
    let mut stream = arrival(incoming).await;
    stream.send_answer(Answer::Dialled).await.unwrap();
    let (head, body) = read(&mut stream).await;
    (stream, head, body)
}

async fn read(stream: &mut Stream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length =
        head.split_once("content-length: ").map_or("0", |(_, rest)| rest.split("\r\n").next().unwrap());
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

async fn answer(mut stream: Stream, bytes: &[u8]) -> Stream {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_delivered_goes_to_whoever_binds_next() {
    let place = Place::start().await;
    let mut next = place.lose(place.agent().await).await;
    for method in ["GET", "POST"] {
        let body = if method == "POST" { "hello" } else { "" };
        let mut visitor = place.asks(method, body).await;
        next.bind(HOST).await;
        let (stream, head, read) = request(&mut next.incoming).await;
        assert!(head.starts_with(&method.to_lowercase()) && read == body.as_bytes(), "{head}");
        let _stream = answer(stream, OK).await;
        assert_eq!(visitor.response().await.body, "ok");
        next = place.lose(next).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_acted_on_goes_out_once_more_if_it_is_safe() {
    let place = Place::start().await;
    let mut agent = place.agent().await;
    let mut get = place.asks("GET", "").await;
    drop(request(&mut agent.incoming).await);
    // The upstream broke off, the agent is there: at once, over the same session.
    let (stream, ..) = request(&mut agent.incoming).await;
    let _stream = answer(stream, OK).await;
    assert_eq!(get.response().await.status(), 200);

    let mut get = place.asks("GET", "").await;
    let lost = request(&mut agent.incoming).await;
    let mut next = place.lose(agent).await;
    drop(lost);
    next.bind(HOST).await;
    drop(request(&mut next.incoming).await);
    // That was the second time. There is no third.
    assert_answer(&get.response().await, 502, "ADIT-2005");

    let mut post = place.asks("POST", "hello").await;
    let lost = request(&mut next.incoming).await;
    next.incoming.close("lost");
    drop(lost);
    assert_answer(&post.response().await, 502, "ADIT-2006");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_in_part_is_not_asked_again() {
    let place = Place::start().await;
    let mut agent = place.agent().await;
    let mut get = place.asks("GET", "").await;
    let (stream, ..) = request(&mut agent.incoming).await;
    drop(answer(stream, b"HTTP/1.1 200 O").await);
    assert_answer(&get.response().await, 502, "ADIT-2005");
    let mut get = place.asks("GET", "").await;
    let (stream, ..) = request(&mut agent.incoming).await;
    let _stream = answer(stream, OK).await;
    assert_eq!(get.response().await.status(), 200, "the next stream is the next request's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_was_given_back_is_not_held() {
    let place = Place::start().await;
    let mut agent = place.agent().await;
    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
    agent.control.send(&goodbye).await.unwrap();
    assert!(agent.control.recv().await.is_err());
    let asked = Instant::now();
    let response = place.asks("POST", "hello").await.response().await;
    assert_answer(&response, 503, "ADIT-2001");
    assert!(response.header("retry-after").is_some());
    assert!(asked.elapsed() < HOLD_AGENT);
}

/// Refuses so many streams, then takes one and answers it. Returns its body, and what must stay open.
async fn refusing(mut incoming: Incoming, refusals: usize) -> (Vec<u8>, impl Sized) {
    for _ in 0..refusals {
        arrival(&mut incoming).await.send_answer(Answer::Refused).await.unwrap();
    }
    let (stream, _, body) = request(&mut incoming).await;
    (body, (answer(stream, OK).await, incoming))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_restarts_is_waited_for_with_all_of_the_body() {
    for bytes in [0, 5, HELD_BODY_BYTES_MAX - 1, HELD_BODY_BYTES_MAX, HELD_BODY_BYTES_MAX + 1, 300_000] {
        let place = Place::start().await;
        let mut agent = place.agent().await;
        let mut first = place.asks("GET", "").await;
        let (stream, ..) = request(&mut agent.incoming).await;
        drop(answer(stream, OK).await);
        assert_eq!(first.response().await.status(), 200);

        let body: String = ('a'..='z').cycle().take(bytes).collect();
        let TestAgent { incoming, control, .. } = agent;
        let upstream = Tasks::new("upstream").spawn("refusing", refusing(incoming, 2));
        let mut post = place.asks("POST", &body).await;
        let (read, _open) = upstream.await.unwrap();
        assert!(read == body.as_bytes(), "{bytes}");
        assert_eq!(post.response().await.status(), 200, "{bytes}");
        drop(control);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_was_never_there_is_not_waited_for() {
    let place = Place::start().await;
    let mut agent = place.agent().await;
    for (no, status, code) in [(Answer::Refused, 502, "ADIT-2002"), (Answer::TimedOut, 504, "ADIT-2003")] {
        for method in ["GET", "POST"] {
            let asked = Instant::now();
            let mut visitor = place.asks(method, "").await;
            arrival(&mut agent.incoming).await.send_answer(no).await.unwrap();
            assert_answer(&visitor.response().await, status, code);
            assert!(asked.elapsed() < HOLD_REFUSED, "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_hands_over_what_its_loser_does_not_take() {
    let place = Place::start().await;
    let mut older = place.idle.into_iter().next().unwrap();
    older.bind(HOST).await;
    let place = Place { idle: Vec::new(), ..place };
    let mut post = place.asks("POST", "hello").await;
    let stream = arrival(&mut older.incoming).await;
    let mut newer = place.session().await;
    assert!(matches!(newer.ask(HOST, Epoch::NONE).await, Frame::Bound(_)));
    stream.abort(AbortCode::NotBound);
    let (stream, _, body) = request(&mut newer.incoming).await;
    assert_eq!(body, b"hello");
    let _stream = answer(stream, OK).await;
    assert_eq!(post.response().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_there_before_the_agent_has_its_upstream() {
    let place = Place::start().await;
    let mut agent = place.agent().await;
    let mut post = place.asks("POST", "hello").await;
    let mut stream = arrival(&mut agent.incoming).await;
    let (head, body) = read(&mut stream).await;
    assert!(head.starts_with("post /") && body == b"hello", "{head}");
    stream.send_answer(Answer::Dialled).await.unwrap();
    let _stream = answer(stream, OK).await;
    assert_eq!(post.response().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_on_a_node_that_leaves() {
    let place = restarted().await;
    let mut post = place.asks("POST", "hello").await;
    // It is in flight: the node has asked whether there is such an endpoint.
    place.node.authority.asked.notified().await;
    place.node.trigger.drain();
    let response = post.response().await;
    assert_answer(&response, 503, "ADIT-3000");
    assert!(response.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_agents_are_waited_for() {
    let place = restarted().await;
    let mut post = place.asks("POST", "hello").await;
    let mut agent = place.agent().await;
    let (stream, _, body) = request(&mut agent.incoming).await;
    assert_eq!(body, b"hello");
    let _stream = answer(stream, OK).await;
    assert_eq!(post.response().await.status(), 200);
    let unknown = Visitor::connect(place.node.http).await.get("nobody.localhost", "/").await;
    assert_answer(&unknown, 404, "ADIT-2000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_who_leaves_is_not_waited_for() {
    let place = Place::start().await;
    let mut next = place.lose(place.agent().await).await;
    let leaves = Visitor::connect_to_reset(place.node.http).await;
    drop(place.asked(leaves, "POST", "left").await);
    let mut stays = place.asks("POST", "stays").await;
    next.bind(HOST).await;
    let (stream, _, body) = request(&mut next.incoming).await;
    assert_eq!(body, b"stays");
    let _stream = answer(stream, OK).await;
    assert_eq!(stays.response().await.status(), 200);
}
