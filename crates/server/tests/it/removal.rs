//! Endpoints that the control plane has removed.

use adit_authority::Change;
use adit_domain::Epoch;
use adit_domain::id::TenantId;
use adit_server::limits::HOLD_AGENT;
use adit_wire::control::{Frame, Unbind, UnbindReason};
use tokio::time::Instant;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::upstream::{self, Reply};
use crate::support::visitor::Visitor;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_endpoint_is_served_no_more_and_its_agent_is_told() {
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let gone = agent.bind("gone.localhost").await;
    let kept = agent.bind("kept.localhost").await;
    let later = Epoch(gone.epoch.0 + 1);
    // Those of an older epoch were removed, and not this one, which came after.
    node.authority.tell(Change::EndpointRemoved { endpoint: kept.endpoint, epoch: kept.epoch });
    node.authority.tell(Change::EndpointRemoved { endpoint: gone.endpoint, epoch: later });
    let Frame::Unbind(unbind) = agent.hear().await else { panic!("not told") };
    assert_eq!((unbind.endpoint, unbind.reason), (gone.endpoint, UnbindReason::EndpointRemoved));
    let mut visitor = Visitor::connect(node.http).await;
    let answer = visitor.get("gone.localhost", "/").await;
    assert_eq!(answer.header("adit-error"), Some("ADIT-2001"), "nobody serves it, and nobody is waited for");
    upstream::serve(agent.incoming, |_, _, _| Reply::Bytes(OK.to_vec()));
    assert_eq!(visitor.get("kept.localhost", "/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_agent_of_a_removed_endpoint() {
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let bound = agent.bind("gone.localhost").await;
    let returns = Unbind { endpoint: bound.endpoint, epoch: bound.epoch, reason: UnbindReason::AgentReturns };
    agent.control.send(&Frame::Unbind(returns)).await.unwrap();
    assert!(matches!(agent.hear().await, Frame::Unbind(_)));
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send("GET / HTTP/1.1\r\nhost: gone.localhost\r\n\r\n").await;
    let begun = Instant::now();
    let epoch = Epoch(bound.epoch.0 + 1);
    node.authority.tell(Change::EndpointRemoved { endpoint: bound.endpoint, epoch });
    assert_eq!(visitor.response().await.header("adit-error"), Some("ADIT-2001"));
    assert!(begun.elapsed() < HOLD_AGENT);
}
