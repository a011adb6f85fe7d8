//! What a tenant's plan says, held by the node: no more, and nothing less.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use adit_domain::id::TenantId;
use adit_domain::{Epoch, PlanLimits};
use adit_mux::{Answer, Config, Stream};
use adit_server::limits::BINDS_PER_SESSION_MAX;
use adit_wire::control::{BindRefusal, Frame, Unbind, UnbindReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent};
use crate::support::authority::{Authority, LIMITS};
use crate::support::node::TestNode;
use crate::support::upstream::{Reply, serve};
use crate::support::visitor::Visitor;

const HOST: &str = "one.localhost";
const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A node with an agent whose tenant bought this.
async fn sold(limits: PlanLimits) -> (TestNode, TestAgent) {
    let node = TestNode::start();
    node.authority.sell(limits);
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    (node, agent)
}

/// The next stream of a visitor, whose request arrives and is not answered.
async fn asked(agent: &mut TestAgent) -> Stream {
    let arrival = timeout(Duration::from_mins(1), agent.incoming.next()).await.expect("a stream in time");
    let mut stream = arrival.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    stream
}

async fn answer(mut stream: Stream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(OK).await.unwrap();
    stream.flush().await.unwrap();
}

async fn asks(node: &TestNode) -> Visitor {
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    visitor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_plan_is_in_force_with_the_refresh_and_what_is_in_flight_goes_on() {
    let (node, mut agent) = sold(PlanLimits { requests_max: 3, ..LIMITS }).await;
    let mut visitors = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..3 {
        visitors.push(asks(&node).await);
        streams.push(asked(&mut agent).await);
    }
    let refused = asks(&node).await.response().await;
    assert_eq!((refused.status(), refused.header("adit-error")), (503, Some("ADIT-2007")));
    assert!(refused.header("retry-after").is_some());

    node.authority.sell(PlanLimits { requests_max: 1, ..LIMITS });
    agent.control.send(&Frame::Refresh { request: 1 }).await.unwrap();
    assert!(matches!(agent.hear().await, Frame::Refreshed { .. }));
    for (visitor, stream) in visitors.iter_mut().zip(streams) {
        // More are in flight than may begin now.
        assert_eq!(asks(&node).await.response().await.status(), 503);
        answer(stream).await;
        assert_eq!(visitor.response().await.status(), 200);
    }
    // The node learns a moment later than the visitor that a response has ended.
    let mut served = loop {
        let mut visitor = asks(&node).await;
        tokio::select! {
            refused = visitor.response() => assert_eq!(refused.status(), 503),
            stream = asked(&mut agent) => {
                answer(stream).await;
                break visitor;
            }
        }
    };
    assert_eq!(served.response().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_more_often_than_the_plan_allows_is_told_and_then_has_to_connect_anew() {
    let (node, agent) = sold(PlanLimits { arrivals_per_s_max: 1, ..LIMITS }).await;
    let seen = serve(agent.incoming, |_, _, _| Reply::Bytes(OK.to_vec()));
    let _control = agent.control;
    let mut visitor = Visitor::connect(node.http).await;
    let (mut served, mut refused) = (0, 0);
    loop {
        let response = visitor.get(HOST, "/").await;
        match response.status() {
            200 => served += 1,
            429 => {
                refused += 1;
                assert_eq!(response.header("adit-error"), Some("ADIT-2008"));
                assert!(response.header("retry-after").is_some());
                if response.header("connection") == Some("close") {
                    break;
                }
            }
            other => panic!("{other}"),
        }
        // One a second is served, one a second is refused: a third within a second ends it.
        assert!(served + refused < 1_000);
    }
    assert!(visitor.is_closed().await);
    assert!(served >= 1 && refused >= 2, "{served} {refused}");
    assert_eq!(seen.requests(), served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_of_a_tenant_with_as_many_connections_as_it_may_is_told_so() {
    let (node, agent) = sold(PlanLimits { connections_max: 2, ..LIMITS }).await;
    serve(agent.incoming, |_, _, _| Reply::Bytes(OK.to_vec()));
    let _control = agent.control;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut visitor = Visitor::connect_tls(&node, HOST).await.unwrap();
        assert_eq!(visitor.get(HOST, "/").await.status(), 200);
        held.push(visitor);
    }
    let mut excess = Visitor::connect_tls(&node, HOST).await.unwrap();
    let refused = excess.get(HOST, "/").await;
    assert_eq!((refused.status(), refused.header("adit-error")), (503, Some("ADIT-2007")));
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(refused.header("retry-after").is_some());
    assert!(excess.is_closed().await);

    for visitor in &mut held {
        assert_eq!(visitor.get(HOST, "/").await.status(), 200, "who is there goes on");
    }
    held.pop();
    // The node notices a moment later that one has left.
    while Visitor::connect_tls(&node, HOST).await.unwrap().get(HOST, "/").await.status() != 200 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_faster_than_the_plan_allows_are_not_taken() {
    let (node, agent) = sold(PlanLimits { arrivals_per_s_max: 1, ..LIMITS }).await;
    serve(agent.incoming, |_, _, _| Reply::Bytes(OK.to_vec()));
    let _control = agent.control;
    let mut taken = 0;
    while Visitor::connect_tls(&node, HOST).await.is_some() {
        taken += 1;
        assert!(taken < 1_000);
    }
    assert!(taken >= 1);
}

/// A connection from this address on which the node answers, if it takes one.
async fn taken_from(from: Ipv4Addr, node: &TestNode) -> Option<Visitor> {
    let mut visitor = Visitor::connect_from(from, node.http).await?;
    visitor.send("GET / HTTP/1.1\r\nhost: none.localhost\r\n\r\n").await;
    let response = visitor.response_or_end().await?;
    assert_eq!(response.status(), 404);
    Some(visitor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections_and_another_one_its_own() {
    const MAX: u32 = 3;
    let node = TestNode::built(Authority::new(), |builder| builder.connections_per_address(MAX));
    let mut held = Vec::new();
    for n in 1..=MAX + 1 {
        let visitor = taken_from(ONE, &node).await;
        assert_eq!(visitor.is_some(), n <= MAX, "{n}");
        held.extend(visitor);
    }
    assert!(taken_from(TWO, &node).await.is_some());
    held.clear();
    // The node notices a moment later that they have left.
    while taken_from(ONE, &node).await.is_none() {}
}

/// The same over a load balancer, which says from where in the IPv6 network.
async fn taken_over(from: &str, node: &TestNode) -> Option<Visitor> {
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("PROXY TCP6 {from} ::1 4242 80\r\n")).await;
    visitor.send("GET / HTTP/1.1\r\nhost: none.localhost\r\n\r\n").await;
    let response = visitor.response_or_end().await?;
    assert_eq!(response.status(), 404);
    Some(visitor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_customer_gets_of_ipv6_counts_as_one_address() {
    const MAX: u32 = 3;
    let node = TestNode::built(Authority::new(), |builder| {
        builder.connections_per_address(MAX).trusted_proxies(vec!["127.0.0.0/8".parse().unwrap()])
    });
    let mut held = Vec::new();
    for (n, from) in ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::1", "2001:db8:0:1:8::"]
        .into_iter()
        .enumerate()
    {
        let visitor = taken_over(from, &node).await;
        assert_eq!(visitor.is_some(), n < MAX as usize, "{from}");
        held.extend(visitor);
    }
    assert!(taken_over("2001:db8:0:2::1", &node).await.is_some(), "the network beside it");
    assert!(taken_over("2001:db8:1:1::1", &node).await.is_some());
    held.clear();
    // The node notices a moment later that they have left.
    while taken_over("2001:db8:0:1::9", &node).await.is_none() {}
}

/// A WebSocket at `host`, which its service has taken: the visitor, and the service's end.
async fn websocket(node: &TestNode, agent: &mut TestAgent, host: &str) -> (Visitor, Stream) {
    let mut visitor = Visitor::connect(node.http).await;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    visitor.send(&head).await;
    let mut stream = asked(agent).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(switched.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(visitor.response().await.status(), 101);
    (visitor, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_may_be_silent_for_as_long_as_its_plan_says() {
    const OTHER: &str = "other.localhost";
    let (node, mut small) = sold(PlanLimits { idle_s_max: 1, ..LIMITS }).await;
    node.authority.sell(LIMITS);
    let mut large = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    large.bind(OTHER).await;
    let (mut goes_on, mut its_service) = websocket(&node, &mut large, OTHER).await;
    let (mut cut, mut its_services_end) = websocket(&node, &mut small, HOST).await;
    assert!(cut.is_closed().await);
    assert!(its_services_end.read_u8().await.is_err(), "an end in good order");
    // This one has been silent for longer.
    its_service.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    its_service.flush().await.unwrap();
    assert_eq!(goes_on.response().await.status(), 200);
}

/// A visitor's request that `agent` does not answer.
async fn unanswered(node: &TestNode, agent: &mut TestAgent, host: &str) -> (Visitor, Stream) {
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    (visitor, asked(agent).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_may_be_silent_before_its_head_for_as_long_as_its_plan_says() {
    const OTHER: &str = "other.localhost";
    let (node, mut small) = sold(PlanLimits { idle_s_max: 1, ..LIMITS }).await;
    node.authority.sell(LIMITS);
    let mut large = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    large.bind(OTHER).await;
    let (mut goes_on, its_service) = unanswered(&node, &mut large, OTHER).await;
    let (mut late, _its_service) = unanswered(&node, &mut small, HOST).await;
    let response = late.response().await;
    assert_eq!((response.status(), response.header("adit-error")), (504, Some("ADIT-2004")));
    // This one has been silent for longer.
    answer(its_service).await;
    assert_eq!(goes_on.response().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waited_is_held_to_the_plan_of_whoever_serves_it() {
    let before = TestNode::start();
    before.authority.sell(PlanLimits { idle_s_max: 1, ..LIMITS });
    let identity = Identity::of(&before, TenantId::new());
    TestAgent::connect(&before, &identity).await.bind(HOST).await;
    before.trigger.stop();
    // Nobody serves it here yet: it was claimed, and its agent is expected.
    let node = TestNode::with(Arc::clone(&before.authority), Config::default());
    let mut visitor = asks(&node).await;
    let mut agent = TestAgent::connect(&node, &identity).await;
    agent.bind(HOST).await;
    let _service = asked(&mut agent).await;
    let response = visitor.response().await;
    assert_eq!((response.status(), response.header("adit-error")), (504, Some("ADIT-2004")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_serves_so_many_endpoints_over_all_its_sessions() {
    let node = TestNode::start();
    node.authority.sell(PlanLimits { endpoints_max: 3, ..LIMITS });
    let tenant = TenantId::new();
    let mut agents = Vec::new();
    for n in 0..3 {
        let mut agent = TestAgent::connect(&node, &Identity::of(&node, tenant)).await;
        agent.bind(&format!("n{n}.localhost")).await;
        agents.push(agent);
    }
    let mut last = TestAgent::connect(&node, &Identity::of(&node, tenant)).await;
    let Frame::BindRefused(refused) = last.ask("more.localhost", Epoch::NONE).await else { panic!("bound") };
    assert_eq!(refused.reason, BindRefusal::LimitReached);
    // Nobody holds what nobody serves.
    while node.authority.released().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.authority.released().len(), 1);
    // An endpoint that changes hands needs no further place.
    last.bind("n0.localhost").await;
    let Frame::Unbind(_) = agents[0].hear().await else { panic!("not replaced") };

    let mut other = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    other.bind("other.localhost").await;
}

/// Whatever the tenant bought.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_binds_so_many_endpoints() {
    let node = TestNode::start();
    node.authority.sell(PlanLimits { endpoints_max: 1_000, ..LIMITS });
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    let mut last = agent.bind("n1.localhost").await;
    for n in 2..=BINDS_PER_SESSION_MAX {
        last = agent.bind(&format!("n{n}.localhost")).await;
    }
    let Frame::BindRefused(refused) = agent.ask("more.localhost", Epoch::NONE).await else { panic!("bound") };
    assert_eq!(refused.reason, BindRefusal::LimitReached);
    // Another session has its own, and one that is given back leaves its place.
    TestAgent::connect(&node, &identity).await.bind("more.localhost").await;
    let unbind = Unbind { endpoint: last.endpoint, epoch: last.epoch, reason: UnbindReason::AgentAsked };
    agent.control.send(&Frame::Unbind(unbind)).await.unwrap();
    assert!(matches!(agent.hear().await, Frame::Unbind(_)));
    agent.bind("last.localhost").await;
}
