//! Crowds of visitors and of agents, and whether the others still come in.

use std::net::Ipv4Addr;

use adit_domain::id::{InstanceId, TenantId};
use adit_server::limits::{AGENTS_OF_CONNECTIONS_PERCENT, VISITORS_OF_CONNECTIONS_PERCENT};
use adit_wire::control::{Frame, GoodbyeReason};
use adit_wire::preface::Status;

use crate::support::agent::{Identity, TestAgent, preface};
use crate::support::authority::Authority;
use crate::support::node::TestNode;
use crate::support::visitor::Visitor;

const CONNECTIONS: usize = 40;
const VISITORS: usize = CONNECTIONS * VISITORS_OF_CONNECTIONS_PERCENT / 100;
const AGENTS: usize = CONNECTIONS * AGENTS_OF_CONNECTIONS_PERCENT / 100;

fn small_node() -> TestNode {
    TestNode::built(Authority::new(), |builder| builder.connections(CONNECTIONS))
}

/// A visitor that was answered and stays, if the node takes it.
async fn stays(node: &TestNode) -> Option<Visitor> {
    let mut visitor = Visitor::connect_from(Ipv4Addr::LOCALHOST, node.http).await?;
    visitor.send("GET / HTTP/1.1\r\nhost: none.localhost\r\n\r\n").await;
    let response = visitor.response_or_end().await?;
    assert_eq!(response.status(), 404);
    Some(visitor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_full_of_idle_visitors_takes_agents() {
    let node = small_node();
    let mut idle = Vec::new();
    for n in 1..=VISITORS + 1 {
        let visitor = stays(&node).await;
        assert_eq!(visitor.is_some(), n <= VISITORS, "{n}");
        idle.extend(visitor);
    }
    assert!(Visitor::connect_tls(&node, "one.localhost").await.is_none());

    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind("one.localhost").await;

    idle.pop();
    // The node notices a moment later that one has left.
    while stays(&node).await.is_none() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_full_of_agents_takes_visitors() {
    let node = small_node();
    let mut agents = Vec::new();
    for _ in 0..AGENTS {
        agents.push(TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await);
    }
    let late = Identity::of(&node, TenantId::new());
    let (refused, _) = preface(&node, &late, InstanceId::new()).await;
    assert_eq!(refused.status, Status::Overloaded);
    assert!(refused.retry_after_ms > 0);

    for _ in 0..CONNECTIONS - AGENTS - 1 {
        assert!(stays(&node).await.is_some());
    }
    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
    agents.pop().unwrap().control.send(&goodbye).await.unwrap();
    // The node notices a moment later that one has left.
    while preface(&node, &late, InstanceId::new()).await.0.status != Status::Ok {}
}
