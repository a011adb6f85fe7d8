//! A mistake that panics costs what it happened in: a session, a connection. What the node cannot do without ends it.

mod tasks;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_domain::Epoch;
use adit_domain::id::TenantId;
use adit_server::ServerError;
use adit_wire::control::Frame;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::upstream::{self, Reply};
use crate::support::visitor::Visitor;

const HOST: &str = "one.localhost";

async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_mins(1), future).await.expect("nothing happened")
}

fn plant(panics: &AtomicBool) {
    panics.store(true, Ordering::SeqCst);
}

/// An endpoint that answers, and the agent's session behind it.
async fn serving(node: &TestNode) -> (Identity, adit_mux::Control) {
    let identity = Identity::of(node, TenantId::new());
    let mut agent = TestAgent::connect(node, &identity).await;
    agent.bind(HOST).await;
    let TestAgent { incoming, control, .. } = agent;
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
    drop(upstream::serve(incoming, move |_, _, _| Reply::Bytes(ok.clone())));
    (identity, control)
}

async fn status(node: &TestNode, host: &str) -> u16 {
    Visitor::connect(node.http).await.get(host, "/").await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_panics_ends_alone() {
    let node = TestNode::start();
    let (identity, _control) = serving(&node).await;
    let mut other = TestAgent::connect(&node, &identity).await;
    other.bind("two.localhost").await;
    plant(&node.authority.panics.claims);
    other.send_bind("three.localhost", Epoch::NONE).await;
    // Its agent is told by the end of the connection, and what it served is served no longer.
    within(async { while other.control.recv().await.is_ok() {} }).await;
    assert_eq!(status(&node, HOST).await, 200);
    let mut again = TestAgent::connect(&node, &identity).await;
    let Frame::Bound(_) = again.ask("two.localhost", Epoch::NONE).await else { panic!("not bound") };
    assert!(!node.running.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_panics_ends_its_connection_alone() {
    let node = TestNode::start();
    let (_, _control) = serving(&node).await;
    let mut visitor = Visitor::connect(node.http).await;
    assert_eq!(visitor.get(HOST, "/").await.status(), 200);
    plant(&node.authority.panics.names);
    let mut unlucky = Visitor::connect(node.http).await;
    unlucky.send("GET / HTTP/1.1\r\nhost: nobody.localhost\r\n\r\n").await;
    within(unlucky.ends()).await;
    assert_eq!(visitor.get(HOST, "/").await.status(), 200);
    assert_eq!(status(&node, "nobody.localhost").await, 404);
    assert!(!node.running.is_finished());
}

/// A node that hears of no revocation any more must not go on as if nothing were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ends_when_a_part_that_it_needs_panics() {
    let node = TestNode::start();
    let (_, mut control) = serving(&node).await;
    let _idle = Visitor::connect(node.http).await;
    plant(&node.authority.panics.changes);
    let ended = within(node.running).await.unwrap();
    let Err(ServerError::Upkeep(failed)) = ended else { panic!("{ended:?}") };
    assert!(failed.to_string().contains("follow changes"), "{failed}");
    // It says goodbye and closes its ports.
    within(async { while control.recv().await.is_ok() {} }).await;
    assert!(TcpStream::connect(node.http).await.is_err());
}
