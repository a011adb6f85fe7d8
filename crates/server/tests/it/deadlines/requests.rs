//! Agents and upstreams that let a request wait, and a node that does not wait for them when it leaves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_domain::id::{InstanceId, TenantId};
use adit_mux::{Answer, Arrival, Budget, Config};
use adit_server::limits::{
    DRAIN_DEADLINE, EXCHANGE_BYTES_MIN, IDLE_GIVES_WAY_DEADLINE, IDLE_GIVES_WAY_LOOK, POOL_IDLE_AGE,
    POOL_SWEEP_INTERVAL, SESSIONS_END_DEADLINE, SILENCE_LOOK, SILENT_AFTER, UPSTREAM_CONNECT_DEADLINE,
};
use adit_wire::control::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use super::{HOST, served, still, still_with, takes};
use crate::support::agent::{Identity, TestAgent, preface};
use crate::support::node::TestNode;
use crate::support::visitor::Visitor;

async fn asks(node: &TestNode, method: &str) -> Visitor {
    let mut visitor = Visitor::plain(node).await;
    visitor.send(&format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await;
    visitor
}

/// Answers a request in a way that leaves the connection to the upstream open.
async fn answers(arrival: &mut Arrival) {
    arrival.stream.send_answer(Answer::Dialled).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(arrival.stream.read_u8().await.unwrap());
    }
    arrival.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    arrival.stream.flush().await.unwrap();
}

/// A connection whose bytes nobody reads any more once it is deaf.
struct Deaf<S> {
    io: S,
    deaf: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Deaf<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deaf.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deaf<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_say_whether_it_has_its_upstream_has_a_deadline() {
    let (node, mut agent) = served().await;
    for method in ["GET", "POST"] {
        let mut visitor = asks(&node, method).await;
        let _silent = agent.incoming.next().await.unwrap();
        let late = takes(UPSTREAM_CONNECT_DEADLINE, visitor.response()).await;
        assert_eq!((late.status(), late.header("adit-error")), (504, Some("ADIT-2003")));
    }
}

/// What is sent again goes out only when the agent has its upstream, which has the same deadline.
#[tokio::test(start_paused = true)]
async fn the_second_try_has_the_same_deadline() {
    let (node, mut agent) = served().await;
    let mut visitor = asks(&node, "GET").await;
    let mut first = agent.incoming.next().await.unwrap();
    first.stream.send_answer(Answer::Dialled).await.unwrap();
    drop(first);
    let _silent = agent.incoming.next().await.unwrap();
    let late = takes(UPSTREAM_CONNECT_DEADLINE, visitor.response()).await;
    assert_eq!((late.status(), late.header("adit-error")), (504, Some("ADIT-2003")));
}

/// Its link is dead, and nobody knows yet.
#[tokio::test(start_paused = true)]
async fn a_session_that_owes_an_answer_for_too_long_is_passed_over() {
    let node = still();
    let identity = Identity::of(&node, TenantId::new());
    let (instance, deaf) = (InstanceId::new(), Arc::new(AtomicBool::new(false)));
    let (_, io) = preface(&node, &identity, instance).await;
    let mut first = TestAgent::over(Deaf { io, deaf: Arc::clone(&deaf) }, instance);
    let bound = first.bind(HOST).await;
    deaf.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let mut visitor = asks(&node, "GET").await;
    let mut second = TestAgent::connect_as(&node, &identity, instance).await;
    assert!(matches!(second.ask(HOST, bound.epoch).await, Frame::Bound(_)));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut arrival = second.incoming.next().await.unwrap();
    let took = begun.elapsed();
    assert!(took >= SILENT_AFTER && took < SILENT_AFTER + 2 * SILENCE_LOOK, "{took:?}");
    answers(&mut arrival).await;
    assert_eq!(visitor.response().await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_connection_to_an_upstream_that_is_idle_ends_with_the_next_sweep() {
    let (node, mut agent) = served().await;
    let mut visitor = asks(&node, "GET").await;
    let mut arrival = agent.incoming.next().await.unwrap();
    answers(&mut arrival).await;
    assert_eq!(visitor.response().await.status(), 200);
    let begun = Instant::now();
    let _ = arrival.stream.read_to_end(&mut Vec::new()).await;
    let took = begun.elapsed();
    assert!(took >= POOL_IDLE_AGE && took <= POOL_IDLE_AGE + POOL_SWEEP_INTERVAL, "{took:?}");
}

/// A session with a single stream, which belongs to a connection to the upstream that waits for its next request.
async fn one_stream() -> (TestNode, TestAgent, Arrival) {
    let node = still_with(Config { streams_max: 1, ..Config::default() });
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    let mut idle = asks(&node, "GET").await;
    let mut arrival = agent.incoming.next().await.unwrap();
    answers(&mut arrival).await;
    assert_eq!(idle.response().await.status(), 200);
    (node, agent, arrival)
}

#[tokio::test(start_paused = true)]
async fn what_gives_way_is_looked_for_at_once() {
    let (node, mut agent, _idle) = one_stream().await;
    let mut comes = asks(&node, "POST").await;
    let mut arrival = takes(IDLE_GIVES_WAY_LOOK, agent.incoming.next()).await.unwrap();
    answers(&mut arrival).await;
    assert_eq!(comes.response().await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_gives_way_to_somebody_else_is_waited_for_until_the_deadline() {
    let (node, mut agent, mut idle) = one_stream().await;
    let mut waits = asks(&node, "POST").await;
    let begun = Instant::now();
    let _ = idle.stream.read_to_end(&mut Vec::new()).await;
    let _faster = asks(&node, "POST").await;
    let _its_stream = agent.incoming.next().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let full = takes(IDLE_GIVES_WAY_DEADLINE, waits.response()).await;
    assert_eq!((full.status(), full.header("adit-error")), (503, Some("ADIT-2007")));
}

/// Memory for a request is short before there is a stream to look for.
#[tokio::test(start_paused = true)]
async fn idle_connections_give_their_memory_to_a_request_at_the_door() {
    // Alone a tenant has half: room for two exchanges and a little. Two idle connections leave room for one exchange beside
    // them, and too little for what a second one holds apart from its stream.
    let budget = Budget::new(2 * (2 * EXCHANGE_BYTES_MIN + 40 * 1024));
    let node = still_with(Config { budget, ..Config::default() });
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    let mut visitors = [asks(&node, "GET").await, asks(&node, "GET").await];
    let mut idle = [agent.incoming.next().await.unwrap(), agent.incoming.next().await.unwrap()];
    for (arrival, visitor) in idle.iter_mut().zip(&mut visitors) {
        answers(arrival).await;
        assert_eq!(visitor.response().await.status(), 200);
    }
    let _holds = asks(&node, "POST").await;
    let _its_stream = agent.incoming.next().await.unwrap();
    let mut comes = asks(&node, "POST").await;
    // One gives it the memory, the other one its stream.
    let mut arrival = takes(2 * IDLE_GIVES_WAY_LOOK, agent.incoming.next()).await.unwrap();
    answers(&mut arrival).await;
    assert_eq!(comes.response().await.status(), 200);
    drop(arrival);
    // Nobody is left to give way, and nobody waits for that.
    let _holds_too = asks(&node, "POST").await;
    let mut refused = asks(&node, "POST").await;
    let full = takes(Duration::ZERO, refused.response()).await;
    assert_eq!((full.status(), full.header("adit-error")), (503, Some("ADIT-2007")));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_in_flight_and_no_longer() {
    let (node, mut agent) = served().await;
    let mut waits = asks(&node, "GET").await;
    let mut arrival = agent.incoming.next().await.unwrap();
    arrival.stream.send_answer(Answer::Dialled).await.unwrap();
    let mut idle = Visitor::plain(&node).await;
    node.trigger.drain();
    takes(Duration::ZERO, idle.ends()).await;
    takes(DRAIN_DEADLINE, waits.ends()).await;
    let ended = timeout(SESSIONS_END_DEADLINE, node.running).await.unwrap();
    ended.unwrap().unwrap();
}
