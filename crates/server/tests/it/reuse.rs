//! Upstream connections are reused across visitors, and only where nothing can go wrong by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adit_domain::id::TenantId;
use adit_domain::{Handling, Retry, Reuse};
use adit_mux::{Answer, Config};
use adit_process::tasks::Tasks;
use tokio::io::AsyncWriteExt;
use tokio::sync::Barrier;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::upstream::{self, Reply, Seen};
use crate::support::visitor::Visitor;

const HOST: &str = "one.localhost";

fn ok(extra: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{extra}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A node with one endpoint, whose upstream answers by `reply`.
async fn endpoint<R>(reply: R) -> (TestNode, Arc<Seen>)
where
    R: Fn(usize, usize, &str) -> Reply + Clone + Send + 'static,
{
    endpoint_with(Handling::default(), reply).await
}

/// The same, for an agent with wishes.
async fn endpoint_with<R>(handling: Handling, reply: R) -> (TestNode, Arc<Seen>)
where
    R: Fn(usize, usize, &str) -> Reply + Clone + Send + 'static,
{
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.handling = handling;
    agent.bind(HOST).await;
    let seen = upstream::serve(agent.incoming, reply);
    // The session lives as long as its streams are taken; its control stream is not needed any more.
    std::mem::forget(agent.control);
    (node, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_many_visitors() {
    let (node, seen) = endpoint(|_, _, _| Reply::Bytes(ok("", "hello"))).await;
    for _ in 0..5 {
        let mut visitor = Visitor::connect(node.http).await;
        for _ in 0..3 {
            assert_eq!(visitor.get(HOST, "/").await.body, "hello");
        }
    }
    assert_eq!((seen.requests(), seen.streams()), (15, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_agent_wants_it_each_request_has_its_own() {
    let handling = Handling { reuse: Reuse::Off, ..Handling::default() };
    let (node, seen) = endpoint_with(handling, |_, _, _| Reply::Bytes(ok("", "hello"))).await;
    for _ in 0..3 {
        let mut visitor = Visitor::connect(node.http).await;
        for _ in 0..3 {
            assert_eq!(visitor.get(HOST, "/").await.body, "hello");
        }
    }
    assert_eq!((seen.requests(), seen.streams()), (9, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upstream_may_have_seen_goes_out_again_unless_the_agent_forbids_it() {
    let lost_once = |stream: usize, _: usize, _: &str| match stream {
        0 => Reply::Cut,
        _ => Reply::Bytes(ok("", "hello")),
    };
    for (retry, status, requests) in [(Retry::Safe, 200, 2), (Retry::Off, 502, 1)] {
        let handling = Handling { retry, ..Handling::default() };
        let (node, seen) = endpoint_with(handling, lost_once).await;
        let mut visitor = Visitor::connect(node.http).await;
        assert_eq!(visitor.get(HOST, "/").await.status(), status);
        assert_eq!(seen.requests(), requests, "{retry:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsafe_methods_take_a_fresh_one() {
    let (node, seen) = endpoint(|_, _, _| Reply::Bytes(ok("", "hello"))).await;
    let mut visitor = Visitor::connect(node.http).await;
    visitor.get(HOST, "/").await;
    for method in ["POST", "DELETE", "PUT"] {
        visitor.send(&format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(visitor.response().await.status(), 200);
    }
    assert_eq!((seen.requests(), seen.streams()), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubtful_endings_are_not_reused() {
    let endings: [fn() -> Reply; 4] = [
        || Reply::BytesThenEnd(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()),
        || Reply::Bytes(ok("connection: close\r\n", "hello")),
        || Reply::Bytes([ok("", "hello"), b"surplus".to_vec()].concat()),
        || Reply::Bytes(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec()),
    ];
    for (n, ending) in endings.into_iter().enumerate() {
        let (node, seen) = endpoint(move |_, _, _| ending()).await;
        for _ in 0..2 {
            let mut visitor = Visitor::connect(node.http).await;
            visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n")).await;
            assert_eq!(visitor.response().await.status(), 200, "ending {n}");
        }
        assert_eq!((seen.requests(), seen.streams()), (2, 2), "ending {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_dies_costs_a_safe_request_nothing() {
    for death in [Reply::End, Reply::Cut] {
        let (node, seen) = endpoint(move |stream, request, _| match (stream, request) {
            (0, 1) => death.clone(),
            _ => Reply::Bytes(ok("", "hello")),
        })
        .await;
        let mut visitor = Visitor::connect(node.http).await;
        assert_eq!(visitor.get(HOST, "/").await.status(), 200);
        assert_eq!(visitor.get(HOST, "/").await.status(), 200);
        assert_eq!(seen.streams(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_came_early_ends_its_connection() {
    let (node, seen) = endpoint(|_, _, _| Reply::Bytes(ok("", "early"))).await;
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 10\r\n\r\n12345")).await;
    assert_eq!(visitor.response().await.body, "early");
    let mut next = Visitor::connect(node.http).await;
    assert_eq!(next.get(HOST, "/").await.status(), 200);
    assert_eq!(seen.streams(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_authentication_ties_the_connection_to_its_visitor() {
    let streams = Arc::new(AtomicUsize::new(usize::MAX));
    let of_first = Arc::clone(&streams);
    let (node, seen) = endpoint(move |stream, _, head| {
        if head.contains("/login") {
            of_first.store(stream, Ordering::SeqCst);
            return Reply::Bytes(ok("www-authenticate: NTLM\r\n", "who"));
        }
        Reply::Bytes(ok("", &format!("{}", stream == of_first.load(Ordering::SeqCst))))
    })
    .await;
    let mut first = Visitor::connect(node.http).await;
    first.get(HOST, "/login").await;
    // Another visitor must not speak on the authenticated connection.
    let mut other = Visitor::connect(node.http).await;
    assert_eq!(other.get(HOST, "/").await.body, "false");
    // Its own visitor must, even with an unsafe method.
    first
        .send(&format!(
            "POST / HTTP/1.1\r\nhost: {HOST}\r\nauthorization: NTLM xyz\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
    assert_eq!(first.response().await.body, "true");
    // It is tied for good: later requests of its visitor name no scheme, and it still is nobody else's.
    assert_eq!(first.get(HOST, "/").await.body, "true");
    let mut third = Visitor::connect(node.http).await;
    assert_eq!(third.get(HOST, "/").await.body, "false");
    assert_eq!(seen.streams(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tied_connection_serves_its_own_endpoint_only() {
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    for name in [HOST, "two.localhost"] {
        agent.bind(name).await;
    }
    let _seen = upstream::serve(agent.incoming, |stream, _, _| {
        Reply::Bytes(ok("www-authenticate: NTLM\r\n", &stream.to_string()))
    });
    let mut visitor = Visitor::connect(node.http).await;
    assert_eq!(visitor.get(HOST, "/").await.body, "0");
    assert_eq!(visitor.get("two.localhost", "/").await.body, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tied_connection_ends_with_its_tunnel() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut older = TestAgent::connect(&node, &identity).await;
    older.bind(HOST).await;
    upstream::serve(older.incoming, |_, _, _| Reply::Bytes(ok("www-authenticate: NTLM\r\n", "older")));
    let mut visitor = Visitor::connect(node.http).await;
    assert_eq!(visitor.get(HOST, "/").await.body, "older");

    let mut newer = TestAgent::connect(&node, &identity).await;
    newer.bind(HOST).await;
    upstream::serve(newer.incoming, |_, _, _| Reply::Bytes(ok("", "newer")));
    assert_eq!(visitor.get(HOST, "/").await.body, "newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_may_not_say_is_a_bad_gateway() {
    let replies: [&'static [u8]; 4] = [
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    ];
    for reply in replies {
        let (node, _) = endpoint(move |_, _, _| Reply::Bytes(reply.to_vec())).await;
        let response = Visitor::connect(node.http).await.get(HOST, "/").await;
        let text = String::from_utf8_lossy(reply);
        assert_eq!((response.status(), response.header("adit-error")), (502, Some("ADIT-2005")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_give_way_when_no_stream_is_left() {
    const STREAMS: usize = 3;
    let node = TestNode::start_with(Config { streams_max: STREAMS, ..Config::default() });
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    // Answered when all of them are there, so that each has a connection of its own.
    let together = Arc::new(Barrier::new(STREAMS));
    let mut busy = Vec::new();
    for _ in 0..STREAMS {
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        let mut stream = agent.incoming.next().await.unwrap().stream;
        let together = Arc::clone(&together);
        let answering = Tasks::new("upstream").spawn("answer", async move {
            stream.send_answer(Answer::Dialled).await.unwrap();
            together.wait().await;
            stream.write_all(&ok("", "hello")).await.unwrap();
            stream.flush().await.unwrap();
            stream
        });
        busy.push((visitor, answering));
    }
    let mut idle = Vec::new();
    for (mut visitor, answering) in busy {
        assert_eq!(visitor.response().await.status(), 200);
        idle.push(answering.await.unwrap());
    }
    // A visitor may have its answer a moment before the connection is idle. After ten seconds it would be closed anyway.
    let begun = Instant::now();
    loop {
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send(&format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await;
        tokio::select! {
            arrival = agent.incoming.next() => return assert!(arrival.is_some()),
            refused = visitor.response() => assert_eq!(refused.header("adit-error"), Some("ADIT-2007")),
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "idle connections stay");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_reaches_no_upstream() {
    let (node, seen) = endpoint(|_, _, _| Reply::Bytes(ok("", "hello"))).await;
    let mut visitor = Visitor::connect(node.http).await;
    visitor
        .send(&format!(
            "POST /api/v1/agent/capability HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer adit_0\r\n\
             accept: application/json\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
    let refused = visitor.response().await;
    assert_eq!((refused.status(), refused.header("adit-error")), (421, Some("ADIT-1011")));
    assert_eq!(seen.streams(), 0);
    // Everything else is the upstream's.
    assert_eq!(Visitor::connect(node.http).await.get(HOST, "/api/v1/agent").await.status(), 200);
}
