//! A control plane that does not answer, and an agent that asks too much of it: nothing else of the session waits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use adit_domain::id::TenantId;
use adit_domain::{Epoch, Plan};
use adit_server::limits::{BINDS_BURST, BINDS_INTERVAL, CLAIMS_IN_FLIGHT_MAX};
use adit_wire::control::{BindRefusal, Frame, Unbind, UnbindReason};
use adit_wire::preface::Status;
use tokio::time::{Instant, timeout};

use crate::support::agent::{Identity, PATIENCE, TestAgent};
use crate::support::node::TestNode;

/// A node that takes no frame for so long waits for its agent.
const DEAF: Duration = Duration::from_secs(2);

async fn connected(node: &TestNode) -> TestAgent {
    TestAgent::connect(node, &Identity::of(node, TenantId::new())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_not_answered_keeps_nothing_waiting() {
    let node = TestNode::start();
    let mut agent = connected(&node).await;
    node.authority.releases_hang.store(true, Ordering::SeqCst);
    // Longer than a session may take for one of them, if each were waited for.
    for n in 0..3 {
        let bound = agent.bind(&format!("n{n}.localhost")).await;
        let (endpoint, epoch) = (bound.endpoint, bound.epoch);
        let unbind = Frame::Unbind(Unbind { endpoint, epoch, reason: UnbindReason::AgentAsked });
        agent.control.send(&unbind).await.unwrap();
        assert!(matches!(agent.hear().await, Frame::Unbind(unbind) if unbind.endpoint == endpoint));
    }
    agent.bind("last.localhost").await;
    while node.authority.released().len() < 3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_is_not_answered_keeps_nothing_waiting() {
    let node = TestNode::start();
    let mut agent = connected(&node).await;
    node.authority.refreshes_hang.store(true, Ordering::SeqCst);
    agent.control.send(&Frame::Refresh { request: 1 }).await.unwrap();
    node.authority.refreshing.notified().await;
    agent.bind("one.localhost").await;
    // One at a time.
    agent.control.send(&Frame::Refresh { request: 2 }).await.unwrap();
    let Frame::RefreshRefused { request: 2, status, .. } = agent.hear().await else { panic!("not refused") };
    assert_eq!(status, Status::RateLimited);
    agent.bind("two.localhost").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_reads_nothing_keeps_no_question_open() {
    let node = TestNode::start();
    node.authority.sell(Plan::SelfHosted.limits());
    let agent = connected(&node).await;
    let claims = &node.authority.claims;
    claims.forget_permits(claims.available_permits());
    let names: Vec<String> =
        (0..CLAIMS_IN_FLIGHT_MAX).map(|number| format!("slow{number}.localhost")).collect();
    for name in &names {
        agent.send_bind(name, Epoch::NONE).await;
    }
    // Refused, sooner or later, which nobody reads: at the end the node cannot say more, and hears nothing either.
    while timeout(DEAF, agent.send_bind("more.localhost", Epoch::NONE)).await.is_ok() {}
    claims.add_permits(1);
    // The first answer that the node cannot give away keeps none of the others.
    let granted = async {
        while !names.iter().all(|name| node.authority.has_granted(name)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, granted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binds_of_one_session_have_a_pace_and_another_one_its_own() {
    let node = TestNode::start();
    let mut owner = connected(&node).await;
    owner.bind("one.localhost").await;
    let mut agent = connected(&node).await;
    let begun = Instant::now();
    let mut answered = 0;
    loop {
        let Frame::BindRefused(refused) = agent.ask("one.localhost", Epoch::NONE).await else {
            panic!("bound")
        };
        if refused.reason == BindRefusal::TryLater {
            assert!(refused.retry_after_ms > 0);
            break;
        }
        assert_eq!(refused.reason, BindRefusal::NotYours);
        answered += 1;
        assert!(answered < 100_000, "no end");
    }
    assert!(answered >= BINDS_BURST, "{answered}");
    let come_back = begun.elapsed().as_millis() / BINDS_INTERVAL.as_millis();
    assert!(u128::from(answered) <= u128::from(BINDS_BURST) + come_back + 1, "{answered}");
    owner.bind("two.localhost").await;
}
