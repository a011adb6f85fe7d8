//! An agent that is asked to stop, and whoever keeps it from that.

use adit_agent::limits::{
    BIND_SETTLED, FAREWELL, GRACE_RELEASED, GRACE_REPLACED, GRACE_RETURNING, UNBIND_CONFIRMED,
};
use adit_agent::{Outcome, Parting};
use adit_domain::Epoch;
use adit_mux::Stream;
use adit_wire::control::{Bound, Frame, Unbind, UnbindReason};

use super::{Scene, scene, takes};
use crate::fake::NodeSession;

/// A session with a visitor whose request goes on for ever.
async fn busy(scene: &Scene) -> (NodeSession, Bound, [Box<dyn Send>; 2]) {
    let (session, _, bound) = scene.server.online(1).await;
    let mut stream: Stream = session.visitor(&bound).await;
    let at_upstream = scene.network.upstream().await;
    stream.answer().await.unwrap();
    (session, bound, [Box::new(stream), Box::new(at_upstream)])
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_may_go_on_for_a_while() {
    for (parting, grace) in [(Parting::Release, GRACE_RELEASED), (Parting::Return, GRACE_RETURNING)] {
        let mut scene = scene();
        let (mut session, _, _in_flight) = busy(&scene).await;
        scene.agent.stop(parting);
        let unbind = session.frame().await;
        assert!(matches!(unbind, Frame::Unbind(_)), "{unbind:?}");
        session.send(unbind).await;
        let last = takes(grace, session.frames.recv()).await.unwrap();
        assert!(matches!(last, Frame::Goodbye { .. }), "{last:?}");
        assert_eq!(scene.agent.ended().await, Outcome::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_replaced_may_finish_what_is_in_flight() {
    let mut scene = scene();
    let (session, bound, _in_flight) = busy(&scene).await;
    let Bound { endpoint, epoch, .. } = bound;
    let unbind = Unbind { endpoint, epoch: Epoch(epoch.0 + 1), reason: UnbindReason::Replaced };
    session.send(Frame::Unbind(unbind)).await;
    let outcome = takes(GRACE_REPLACED, scene.agent.ended()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_confirm_the_unbind_is_waited_for_briefly() {
    let scene = scene();
    let (mut session, _, _) = scene.server.online(1).await;
    scene.agent.stop(Parting::Release);
    assert!(matches!(session.frame().await, Frame::Unbind(_)));
    let last = takes(UNBIND_CONFIRMED, session.frames.recv()).await.unwrap();
    assert!(matches!(last, Frame::Goodbye { .. }), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bind_under_way_is_waited_for_briefly() {
    let scene = scene();
    let mut session = scene.server.knock().await.welcome().await;
    let _unanswered = session.bind().await;
    scene.agent.stop(Parting::Release);
    let last = takes(BIND_SETTLED, session.frames.recv()).await.unwrap();
    assert!(matches!(last, Frame::Goodbye { .. }), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn last_words_that_nobody_takes_keep_no_agent() {
    let mut scene = scene();
    let _session = scene.server.online(1).await;
    scene.event(|event| matches!(event, adit_agent::Event::UrlAssigned { .. })).await;
    scene.network.node.get_stuck();
    scene.agent.stop(Parting::Release);
    takes(UNBIND_CONFIRMED + FAREWELL, scene.agent.ended()).await;
}
