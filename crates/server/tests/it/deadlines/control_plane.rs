//! A control plane that takes questions and does not answer them.

use std::sync::atomic::Ordering;

use adit_domain::Epoch;
use adit_server::limits::{CLAIM_DEADLINE, EXISTS_DEADLINE, RETRY_AFTER};
use adit_wire::control::{BindRefusal, Frame};
use adit_wire::preface::Status;

use super::{served, takes};
use crate::support::visitor::Visitor;

#[tokio::test(start_paused = true)]
async fn whether_a_name_exists_is_told_at_the_deadline() {
    let (node, _agent) = served().await;
    node.authority.names_hang.store(true, Ordering::SeqCst);
    // Nothing is remembered of what nobody said.
    for _ in 0..2 {
        let mut visitor = Visitor::plain(&node).await;
        let refused = takes(EXISTS_DEADLINE, visitor.get("nobody.localhost", "/")).await;
        assert_eq!((refused.status(), refused.header("adit-error")), (503, Some("ADIT-3002")));
    }
    node.authority.names_hang.store(false, Ordering::SeqCst);
    let unknown = Visitor::plain(&node).await.get("nobody.localhost", "/").await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_refused_at_the_deadline() {
    let (node, mut agent) = served().await;
    let claims = &node.authority.claims;
    claims.forget_permits(claims.available_permits());
    agent.send_bind("two.localhost", Epoch::NONE).await;
    let Frame::BindRefused(refused) = takes(CLAIM_DEADLINE, agent.control.recv()).await.unwrap() else {
        panic!("bound")
    };
    assert_eq!(refused.reason, BindRefusal::TryLater);
    assert_eq!(u128::from(refused.retry_after_ms), RETRY_AFTER.as_millis());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_refused_at_the_deadline() {
    let (node, mut agent) = served().await;
    node.authority.refreshes_hang.store(true, Ordering::SeqCst);
    agent.control.send(&Frame::Refresh { request: 1 }).await.unwrap();
    let refused = takes(CLAIM_DEADLINE, agent.control.recv()).await.unwrap();
    let is_overload = matches!(refused, Frame::RefreshRefused { request: 1, status: Status::Overloaded, .. });
    assert!(is_overload, "{refused:?}");
}
