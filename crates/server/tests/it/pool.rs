//! Several agents, one endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use adit_domain::id::TenantId;
use adit_domain::{Balance, Pooling, Sticky};
use adit_mux::{Answer, Stream};
use adit_process::tasks::Tasks;
use adit_wire::control::{Bound, Frame, UnbindReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::visitor::{Response, Visitor};

const HOST: &str = "one.localhost";

/// A member of a pool, as its upstream.
struct Member {
    /// Whether the upstream is there.
    up: Arc<AtomicBool>,
    /// Requests that it has answered.
    served: Arc<AtomicUsize>,
    /// Connections that it was asked for.
    asked: watch::Receiver<usize>,
    bound: Bound,
}

/// A member that answers every request with its name.
async fn join(node: &TestNode, identity: &Identity, name: &'static str, pooling: Pooling) -> Member {
    let mut agent = TestAgent::connect(node, identity).await;
    agent.pooling = Some(pooling);
    let bound = agent.bind(HOST).await;
    let (asking, asked) = watch::channel(0);
    let member = Member { up: Arc::new(AtomicBool::new(true)), served: Arc::default(), asked, bound };
    let (up, served) = (Arc::clone(&member.up), Arc::clone(&member.served));
    let tasks = Tasks::new("member");
    let streams = tasks.clone();
    drop(tasks.spawn("streams", async move {
        let TestAgent { mut incoming, control, .. } = agent;
        while let Some(arrival) = incoming.next().await {
            asking.send_modify(|asked| *asked += 1);
            let mut stream = arrival.stream;
            if up.load(Ordering::SeqCst) {
                drop(streams.spawn("stream", answer(stream, name, Arc::clone(&served))));
            } else {
                stream.send_answer(Answer::Refused).await.unwrap();
            }
        }
        drop(control);
    }));
    member
}

async fn answer(mut stream: Stream, name: &'static str, served: Arc<AtomicUsize>) {
    stream.send_answer(Answer::Dialled).await.unwrap();
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return drop(stream.shutdown().await),
            }
        }
        assert!(!String::from_utf8_lossy(&head).contains("adit-sticky"), "our cookie went to the upstream");
        served.fetch_add(1, Ordering::SeqCst);
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(response.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// A request on a connection of its own.
async fn get(node: &TestNode, more: &str) -> Response {
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n{more}\r\n")).await;
    visitor.response().await
}

async fn two(pooling: Pooling) -> (TestNode, Identity, Member, Member) {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let a = join(&node, &identity, "a", pooling).await;
    let b = join(&node, &identity, "b", pooling).await;
    assert_eq!((a.bound.endpoint, a.bound.epoch), (b.bound.endpoint, b.bound.epoch), "nobody was fenced");
    (node, identity, a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_requests() {
    for balance in [Balance::Least, Balance::RoundRobin] {
        let (node, _, a, b) = two(Pooling { balance, sticky: Sticky::No }).await;
        for _ in 0..40 {
            assert_eq!(get(&node, "").await.status(), 200);
        }
        let served = [&a, &b].map(|member| member.served.load(Ordering::SeqCst));
        assert!(served.iter().all(|n| (18..=22).contains(n)), "{balance:?}: {served:?}");
    }
    // 200 throws of a coin: a deviation of seven, five of which happen once in a million.
    let (node, _, a, b) = two(Pooling { balance: Balance::Random, sticky: Sticky::No }).await;
    for _ in 0..200 {
        assert_eq!(get(&node, "").await.status(), 200);
    }
    let served = [&a, &b].map(|member| member.served.load(Ordering::SeqCst));
    assert!(served.iter().all(|n| (65..=135).contains(n)), "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_upstream_is_out_until_a_probe_finds_it() {
    let (node, _, mut a, b) = two(Pooling::default()).await;
    a.up.store(false, Ordering::SeqCst);
    for method in ["GET", "POST"].into_iter().cycle().take(20) {
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send(&format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await;
        let response = visitor.response().await;
        assert_eq!((response.status(), response.body.as_str()), (200, "b"));
    }
    assert_eq!((a.served.load(Ordering::SeqCst), b.served.load(Ordering::SeqCst)), (0, 20));
    // Nobody visits, and it is asked all the same.
    let asked = *a.asked.borrow();
    let again = a.asked.wait_for(|now| *now > asked);
    timeout(Duration::from_mins(1), again).await.expect("it is asked again").unwrap();
    a.up.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_mins(1);
    while a.served.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "it did not come back");
        assert_eq!(get(&node, "").await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_brings_visitors_back() {
    let (node, _, a, b) = two(Pooling { balance: Balance::RoundRobin, sticky: Sticky::Cookie }).await;
    let first = get(&node, "").await;
    let set = first.header("set-cookie").unwrap();
    let (cookie, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    for _ in 0..6 {
        let again = get(&node, &format!("cookie: x=1; {cookie}\r\n")).await;
        assert_eq!((again.body.as_str(), again.header("set-cookie")), (first.body.as_str(), None));
    }
    // Whatever else stands there leads to some member, with its cookie.
    let forged = get(&node, "cookie: adit-sticky=00000000000000000000000000000000\r\n").await;
    assert!(forged.status() == 200 && forged.header("set-cookie").is_some());
    // Its member is gone: another one serves, and says so.
    let (mine, other) = if first.body == "a" { (&a, "b") } else { (&b, "a") };
    mine.up.store(false, Ordering::SeqCst);
    // The kept connection of the member still does; a new one does not.
    let mut visitor = Visitor::connect(node.http).await;
    let post = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncookie: {cookie}\r\ncontent-length: 0\r\n\r\n");
    visitor.send(&post).await;
    let moved = visitor.response().await;
    assert_eq!(moved.body, other);
    assert!(!moved.header("set-cookie").unwrap().starts_with(cookie));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_comes_back() {
    let (node, ..) = two(Pooling { balance: Balance::RoundRobin, sticky: Sticky::Address }).await;
    let first = get(&node, "").await;
    for _ in 0..6 {
        let again = get(&node, "").await;
        assert_eq!((again.body.as_str(), again.header("set-cookie")), (first.body.as_str(), None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_share_takes_over_from_all_and_the_other_way_round() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut member = TestAgent::connect(&node, &identity).await;
        member.pooling = Some(Pooling::default());
        member.bind(HOST).await;
        members.push(member);
    }
    let mut alone = TestAgent::connect(&node, &identity).await;
    let bound = alone.bind(HOST).await;
    for mut member in members {
        assert_replaced(&mut member, &bound).await;
    }
    let mut pooled = TestAgent::connect(&node, &identity).await;
    pooled.pooling = Some(Pooling::default());
    let bound = pooled.bind(HOST).await;
    assert_replaced(&mut alone, &bound).await;
}

async fn assert_replaced(loser: &mut TestAgent, winner: &Bound) {
    let Frame::Unbind(unbind) = loser.hear().await else { panic!("not told") };
    assert_eq!((unbind.endpoint, unbind.epoch), (winner.endpoint, winner.epoch));
    assert_eq!(unbind.reason, UnbindReason::Replaced);
}
