//! Agents that stop in the middle.

use std::time::Duration;

use adit_authority::Change;
use adit_domain::Epoch;
use adit_domain::id::{InstanceId, TenantId};
use adit_mux::Config;
use adit_mux::limits::{CLOSE_DEADLINE, CONTROL_OPEN_DEADLINE, CONTROL_SEND_DEADLINE, LINGER};
use adit_server::limits::{PREFACE_DEADLINE, REVOKED_GOODBYE_DEADLINE, ROTATION_DEADLINE};
use adit_wire::control::{DrainReason, Frame, GoodbyeReason};
use adit_wire::preface::Status;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::{HOST, ends, still, still_with, takes};
use crate::support::agent::{Identity, TestAgent, handshake, preface, signed};
use crate::support::visitor::Visitor;

#[tokio::test(start_paused = true)]
async fn a_preface_has_a_deadline_however_far_it_came() {
    let node = still();
    let identity = Identity::of(&node, TenantId::new());
    for missing in [usize::MAX, 1] {
        let mut io = handshake(&node).await;
        let preface = signed(&io, &identity, InstanceId::new());
        io.write_all(&preface[..preface.len().saturating_sub(missing)]).await.unwrap();
        io.flush().await.unwrap();
        takes(PREFACE_DEADLINE, ends(&mut io)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_control_stream_has_a_deadline() {
    let node = still();
    let (answer, mut io) = preface(&node, &Identity::of(&node, TenantId::new()), InstanceId::new()).await;
    assert_eq!(answer.status, Status::Ok);
    takes(CONTROL_OPEN_DEADLINE, ends(&mut io)).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_worn_out_ends_at_its_deadline() {
    let node = still_with(Config { streams_opened_in_all: 1, ..Config::default() });
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    let mut visitor = Visitor::plain(&node).await;
    visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    let drain = agent.hear().await;
    let Frame::Drain { reason: DrainReason::WornOut, deadline_ms } = drain else { panic!("{drain:?}") };
    assert_eq!(u128::from(deadline_ms), ROTATION_DEADLINE.as_millis());
    let last = takes(ROTATION_DEADLINE, agent.control.recv()).await.unwrap();
    assert!(matches!(last, Frame::Goodbye { reason: GoodbyeReason::WornOut, .. }), "{last:?}");
}

/// Its visitors are cut off at once; it has a moment to hear why.
#[tokio::test(start_paused = true)]
async fn an_agent_that_is_revoked_and_does_not_listen_has_a_deadline() {
    let node = still();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    agent.bind(HOST).await;
    // Each is answered, until the node has no room for its answers.
    while timeout(Duration::from_secs(1), agent.send_bind(HOST, Epoch::NONE)).await.is_ok() {}
    let begun = Instant::now();
    node.authority.tell(Change::CapabilityRevoked(identity.capability.id));
    assert!(agent.incoming.next().await.is_none());
    let took = begun.elapsed();
    let closing = CLOSE_DEADLINE + LINGER;
    assert!(REVOKED_GOODBYE_DEADLINE + closing < CONTROL_SEND_DEADLINE);
    assert!(took >= REVOKED_GOODBYE_DEADLINE && took <= REVOKED_GOODBYE_DEADLINE + closing, "{took:?}");
}
