//! What an agent does by the clock while it is online.

use std::time::Duration;

use adit_agent::limits::{DRAIN_MAX, REFRESH, REFRESH_AGAIN, REFRESH_MIN};
use adit_wire::control::{DrainReason, Frame};
use adit_wire::preface::Status;

use super::{scene, takes};

#[tokio::test(start_paused = true)]
async fn a_fresh_capability_is_asked_for_every_hour_and_after_a_no_later() {
    let scene = scene();
    let (mut session, _, _) = scene.server.online(1).await;
    for request in [1, 2] {
        let asked = takes(REFRESH, session.frames.recv()).await.unwrap();
        assert_eq!(asked, Frame::Refresh { request });
    }
    let no = Frame::RefreshRefused { request: 2, status: Status::Overloaded, retry_after_ms: 0 };
    session.send(no).await;
    let asked = takes(REFRESH_AGAIN, session.frames.recv()).await.unwrap();
    assert_eq!(asked, Frame::Refresh { request: 3 });
    // However long the node wants to be left alone.
    let no = Frame::RefreshRefused { request: 3, status: Status::Overloaded, retry_after_ms: u32::MAX };
    session.send(no).await;
    let asked = takes(REFRESH, session.frames.recv()).await.unwrap();
    assert_eq!(asked, Frame::Refresh { request: 4 });
}

#[tokio::test(start_paused = true)]
async fn a_capability_that_lives_for_a_moment_is_not_refreshed_without_a_pause() {
    let scene = scene();
    scene.server.lifetime(REFRESH_MIN);
    let (mut session, _, _) = scene.server.online(1).await;
    assert!(matches!(session.frame().await, Frame::Refresh { request: 1 }));
    for request in [2, 3] {
        let asked = takes(REFRESH_MIN, session.frames.recv()).await.unwrap();
        assert_eq!(asked, Frame::Refresh { request });
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_drains_may_go_on_for_a_while_only() {
    const LONG: Duration = Duration::from_hours(1);
    for (allowed, lasts) in [(DRAIN_MAX / 2, DRAIN_MAX / 2), (DRAIN_MAX, DRAIN_MAX), (LONG, DRAIN_MAX)] {
        let scene = scene();
        let (leaves, _, bound) = scene.server.online(1).await;
        let _in_flight = leaves.visitor(&bound).await;
        let _at_upstream = scene.network.upstream().await;
        let deadline_ms = u32::try_from(allowed.as_millis()).unwrap();
        leaves.send(Frame::Drain { reason: DrainReason::NodeLeaves, deadline_ms }).await;
        let ends = async {
            let next = scene.server.online(1).await;
            leaves.session.closed().wait().await;
            next
        };
        takes(lasts, ends).await;
    }
}
