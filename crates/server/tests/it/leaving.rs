//! An agent says how it leaves, and that decides what its visitors see.

use std::time::Duration;

use adit_domain::Epoch;
use adit_domain::id::TenantId;
use adit_mux::Answer;
use adit_wire::control::{Bound, Frame, Unbind, UnbindReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::visitor::Visitor;

const HOST: &str = "one.localhost";

async fn leaves(agent: &mut TestAgent, bound: &Bound, reason: UnbindReason) {
    let unbind = Unbind { endpoint: bound.endpoint, epoch: bound.epoch, reason };
    agent.control.send(&Frame::Unbind(unbind)).await.unwrap();
    assert_eq!(agent.hear().await, Frame::Unbind(unbind), "the node opens no more streams");
}

async fn posts(node: &TestNode) -> Visitor {
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await;
    visitor
}

/// Answers the next request that arrives.
async fn answers(agent: &mut TestAgent) {
    let arrival = timeout(Duration::from_mins(1), agent.incoming.next()).await;
    let mut stream = arrival.expect("nothing arrived").unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_returns_is_waited_for_and_finishes_what_it_has_begun() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    let bound = agent.bind(HOST).await;
    let mut begun = posts(&node).await;
    let arrival = agent.incoming.next().await.unwrap();
    leaves(&mut agent, &bound, UnbindReason::AgentReturns).await;
    assert!(node.authority.released().is_empty());

    let mut waiting = posts(&node).await;
    let mut next = TestAgent::connect(&node, &identity).await;
    assert!(matches!(next.ask(HOST, Epoch::NONE).await, Frame::Bound(_)));
    answers(&mut next).await;
    assert_eq!(waiting.response().await.status(), 200);

    let mut stream = arrival.stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbegun").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(begun.response().await.body, "begun");
}

/// The other one says nothing: perhaps it is dead, and nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_leaves_with_all_its_sessions() {
    for reason in [UnbindReason::AgentAsked, UnbindReason::AgentReturns] {
        let node = TestNode::start();
        let identity = Identity::of(&node, TenantId::new());
        let mut first = TestAgent::connect(&node, &identity).await;
        let bound = first.bind(HOST).await;
        let mut second = TestAgent::connect_as(&node, &identity, first.instance).await;
        assert!(matches!(second.ask(HOST, bound.epoch).await, Frame::Bound(_)));
        leaves(&mut first, &bound, reason).await;
        if reason == UnbindReason::AgentAsked {
            let refused = posts(&node).await.response().await;
            assert_eq!(refused.header("adit-error"), Some("ADIT-2001"));
        } else {
            let mut waiting = posts(&node).await;
            let mut next = TestAgent::connect(&node, &identity).await;
            assert!(matches!(next.ask(HOST, Epoch::NONE).await, Frame::Bound(_)));
            answers(&mut next).await;
            assert_eq!(waiting.response().await.status(), 200);
        }
        leaves(&mut second, &bound, reason).await;
        let released = usize::from(reason == UnbindReason::AgentAsked);
        assert_eq!(node.authority.released().len(), released);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_it_back_is_not_waited_for() {
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let bound = agent.bind(HOST).await;
    leaves(&mut agent, &bound, UnbindReason::AgentAsked).await;
    let refused = posts(&node).await.response().await;
    assert_eq!(refused.header("adit-error"), Some("ADIT-2001"));
}
