#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    reason = "a test stops at the first surprise"
)]

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use adit_domain::id::TenantId;
use adit_domain::{Hostname, Plan};
use adit_mux::Budget;
use tokio::time::{Instant, advance};

use super::{Came, Expired, Hold, Holds, Place};
use crate::limits::{
    HELD_BYTES_MAX, HELD_ENDPOINTS_MAX, HELD_FOR_UNKNOWN_MAX, HELD_PER_ENDPOINT_MAX, HELD_PER_NODE_MAX,
    HELD_PER_TENANT_MAX, HOLD_AGENT, HOLD_REFUSED, HOLD_TOTAL, REFUSED_LOOK, UPSTREAM_UP_AGE,
};
use crate::share::{Shares, TenantShare};
use crate::stub::capability;

const SECOND: Duration = Duration::from_secs(1);

fn name(n: usize) -> Hostname {
    Hostname::parse(&format!("n{n}.example")).unwrap()
}

fn tenant() -> Arc<TenantShare> {
    Shares::new(Budget::new(0)).of(&capability(TenantId::new(), Plan::default().limits()))
}

/// A node and an endpoint that is served on it.
fn served() -> (Holds, Arc<Hold>) {
    let holds = Holds::new(Instant::now());
    let hold = holds.enter(&name(0), &tenant());
    hold.bound();
    (holds, hold)
}

fn long() -> Instant {
    Instant::now() + HOLD_TOTAL
}

async fn poll_now<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_when_somebody_binds() {
    let (holds, hold) = served();
    holds.vanished(&name(0));
    let is_there = AtomicBool::new(false);
    let begun = Instant::now();
    let mut waiting = Box::pin(hold.agent(long(), || is_there.load(Ordering::SeqCst)));
    assert!(poll_now(&mut waiting).await.is_pending());
    // Somebody binds and is gone again before anybody looks: that is no end.
    hold.bound();
    holds.vanished(&name(0));
    assert!(poll_now(&mut waiting).await.is_pending());
    is_there.store(true, Ordering::SeqCst);
    hold.bound();
    assert_eq!(waiting.await, Ok(Came::Later));
    assert_eq!(hold.agent(long(), || true).await, Ok(Came::AtOnce));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_waited_for_so_long_from_the_moment_it_vanished() {
    let (holds, hold) = served();
    holds.vanished(&name(0));
    for left in [HOLD_AGENT, 5 * SECOND, Duration::ZERO] {
        let begun = Instant::now();
        assert_eq!(hold.agent(long(), || false).await, Err(Expired));
        assert_eq!(begun.elapsed().as_secs(), left.as_secs());
        holds.vanished(&name(0));
        advance(if left == HOLD_AGENT { HOLD_AGENT - 5 * SECOND } else { HOLD_AGENT }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_told_nor_for_who_left_in_order() {
    let (holds, hold) = served();
    let begun = Instant::now();
    // Its session is dead, and nobody has noticed yet.
    assert_eq!(hold.agent(long(), || false).await, Err(Expired));
    assert_eq!(begun.elapsed().as_secs(), HOLD_AGENT.as_secs());

    holds.vanished(&name(0));
    let begun = Instant::now();
    assert_eq!(hold.agent(begun + SECOND, || false).await, Err(Expired));
    assert_eq!(begun.elapsed().as_secs(), 1);

    let mut waiting = Box::pin(hold.agent(long(), || false));
    assert!(poll_now(&mut waiting).await.is_pending());
    holds.released(&name(0));
    assert_eq!(poll_now(&mut waiting).await, Poll::Ready(Err(Expired)));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_vacant_for_as_long_as_somebody_is_expected() {
    let (holds, hold) = served();
    assert!(!hold.is_vacant());
    hold.settled().await;
    holds.vanished(&name(0));
    let begun = Instant::now();
    assert!(hold.is_vacant());
    advance(HOLD_AGENT - Duration::from_millis(1)).await;
    assert!(hold.is_vacant());
    hold.settled().await;
    assert!(!hold.is_vacant());
    assert!(begun.elapsed() < HOLD_AGENT + SECOND);
    for change in [Hold::bound, |_: &Hold| {}] {
        holds.vanished(&name(0));
        let mut settling = Box::pin(hold.settled());
        assert!(poll_now(&mut settling).await.is_pending());
        change(&hold);
        holds.released(&name(0));
        assert!(poll_now(&mut settling).await.is_ready());
        assert!(!hold.is_vacant());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_asked_for_by_one_at_a_time() {
    let (_, hold) = served();
    let until = Instant::now() + HOLD_REFUSED;
    let mut all: Vec<_> = (0..3).map(|_| Box::pin(hold.upstream(until))).collect();
    for waiting in &mut all {
        assert!(poll_now(waiting).await.is_pending());
    }
    advance(REFUSED_LOOK + Duration::from_millis(1)).await;
    let Poll::Ready(Ok(Some(turn))) = poll_now(&mut all[0]).await else { panic!("no turn") };
    assert!(poll_now(&mut all[1]).await.is_pending());
    // Refused again: the next one's turn comes, not at once.
    drop(turn);
    assert!(poll_now(&mut all[1]).await.is_pending());
    advance(REFUSED_LOOK + Duration::from_millis(1)).await;
    let Poll::Ready(Ok(Some(_turn))) = poll_now(&mut all[1]).await else { panic!("no turn") };
    assert!(poll_now(&mut all[2]).await.is_pending());
    hold.upstream_answered();
    assert!(matches!(poll_now(&mut all[2]).await, Poll::Ready(Ok(None))), "everybody goes");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_waited_for_so_long() {
    let (_, hold) = served();
    let begun = Instant::now();
    let until = begun + HOLD_REFUSED;
    let turn = hold.upstream(until).await.unwrap();
    assert!(turn.is_some());
    assert!(hold.upstream(until).await.is_err(), "another one has the turn");
    assert_eq!(begun.elapsed().as_secs(), HOLD_REFUSED.as_secs());

    let mut waiting = Box::pin(hold.upstream(Instant::now() + HOLD_REFUSED));
    assert!(poll_now(&mut waiting).await.is_pending());
    hold.bound();
    assert!(matches!(poll_now(&mut waiting).await, Poll::Ready(Ok(None))), "another agent may know better");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_answered_lately_or_it_did_not() {
    let (_, hold) = served();
    assert!(!hold.has_answered_within(UPSTREAM_UP_AGE));
    advance(SECOND).await;
    hold.upstream_answered();
    for (more, lately) in
        [(UPSTREAM_UP_AGE - SECOND, true), (SECOND, true), (Duration::from_millis(1), false)]
    {
        advance(more).await;
        assert_eq!(hold.has_answered_within(UPSTREAM_UP_AGE), lately);
    }
}

/// As many places as these give, over and over, until none gives one.
fn all_places<'a>(holds: &'a Holds, of: &'a [Arc<Hold>]) -> Vec<Place<'a>> {
    of.iter().flat_map(|hold| std::iter::from_fn(|| holds.place(hold, 0))).collect()
}

/// So many endpoints of one tenant.
fn endpoints(holds: &Holds, tenant: &Arc<TenantShare>, names: std::ops::Range<usize>) -> Vec<Arc<Hold>> {
    names.map(|n| holds.enter(&name(n), tenant)).collect()
}

#[tokio::test]
async fn so_many_wait_for_one_endpoint() {
    let holds = Holds::new(Instant::now());
    let hold = holds.enter(&name(0), &tenant());
    let mut places: Vec<_> = (0..HELD_PER_ENDPOINT_MAX - 1).map(|_| holds.place(&hold, 0).unwrap()).collect();
    places.push(holds.place(&hold, 0).unwrap());
    assert!(holds.place(&hold, 0).is_none());
    places.pop();
    assert!(holds.place(&hold, 0).is_some());
}

#[tokio::test]
async fn so_many_wait_for_one_tenant_and_others_do_not_notice() {
    let (holds, greedy) = (Holds::new(Instant::now()), tenant());
    let of_greedy = endpoints(&holds, &greedy, 0..10);
    let mut places = all_places(&holds, &of_greedy);
    assert_eq!(places.len(), HELD_PER_TENANT_MAX);
    let neighbour = holds.enter(&name(10), &tenant());
    assert!(holds.place(&neighbour, 0).is_some());
    // Its agents come back, and those who wait are still there.
    let again = holds.enter(&name(5), &tenant());
    assert!(holds.place(&again, 0).is_none());
    places.pop();
    assert!(holds.place(&again, 0).is_some());
}

#[tokio::test]
async fn so_many_wait_on_a_node() {
    let holds = Holds::new(Instant::now());
    let of: Vec<_> =
        (0..=HELD_PER_NODE_MAX / HELD_PER_ENDPOINT_MAX).map(|n| holds.enter(&name(n), &tenant())).collect();
    let mut places = all_places(&holds, &of);
    assert_eq!(places.len(), HELD_PER_NODE_MAX);
    assert!(holds.place(of.last().unwrap(), 0).is_none());
    places.pop();
    assert!(holds.place(of.last().unwrap(), 0).is_some());
}

#[tokio::test]
async fn endpoints_of_nobody_known_leave_places_for_the_others() {
    let holds = Holds::new(Instant::now());
    let unknown: Vec<_> = (0..10).map(|n| holds.after_restart(&name(n)).unwrap()).collect();
    let places = all_places(&holds, &unknown);
    assert_eq!(places.len(), HELD_FOR_UNKNOWN_MAX);
    assert!(holds.place(&holds.enter(&name(10), &tenant()), 0).is_some());
    // An agent comes: from now on it is known whose it is.
    assert!(holds.place(&unknown[9], 0).is_none());
    holds.enter(&name(9), &tenant());
    assert!(holds.place(&unknown[9], 0).is_some());
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_is_known_is_waited_for() {
    let holds = Holds::new(Instant::now());
    advance(10 * SECOND).await;
    let hold = holds.after_restart(&name(0)).unwrap();
    let begun = Instant::now();
    assert_eq!(hold.agent(long(), || false).await, Err(Expired));
    assert_eq!(begun.elapsed().as_secs(), (HOLD_AGENT - 10 * SECOND).as_secs());
    assert!(holds.after_restart(&name(1)).is_none(), "it is not young any more");
    drop(hold);
    holds.sweep(Instant::now());
    assert!(holds.find(&name(0)).is_none());
}

#[tokio::test(start_paused = true)]
async fn so_many_endpoints_are_waited_for_after_a_restart() {
    let holds = Holds::new(Instant::now());
    for n in 0..HELD_ENDPOINTS_MAX {
        assert!(holds.after_restart(&name(n)).is_some(), "{n}");
    }
    assert!(holds.after_restart(&name(HELD_ENDPOINTS_MAX)).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_forgotten() {
    let (holds, hold) = served();
    holds.enter(&name(1), &tenant()).bound();
    drop(holds.enter(&name(2), &tenant()));
    let about_to_bind = holds.enter(&name(3), &tenant());
    holds.released(&name(0));
    drop(hold);
    let found = || [0, 1, 2, 3].map(|n| holds.find(&name(n)).is_some());
    advance(HOLD_AGENT - SECOND).await;
    holds.sweep(Instant::now());
    assert_eq!(found(), [true; 4], "a young node remembers who left in order");
    advance(SECOND).await;
    holds.sweep(Instant::now());
    assert_eq!(found(), [false, true, false, true], "one is served, and one about to be");
    drop(about_to_bind);
    holds.sweep(Instant::now());
    assert_eq!(found(), [false, true, false, false], "it never was served");
}

#[tokio::test]
async fn bodies_that_may_come_while_they_wait_have_room() {
    for (bytes, fits) in [(HELD_BYTES_MAX - 1, true), (HELD_BYTES_MAX, true), (HELD_BYTES_MAX + 1, false)] {
        let (holds, hold) = served();
        let place = holds.place(&hold, bytes);
        assert_eq!(place.is_some(), fits, "{bytes}");
        assert_eq!(holds.bytes().available_permits(), HELD_BYTES_MAX - if fits { bytes } else { 0 });
        assert_eq!(holds.place(&hold, 1).is_some(), bytes != HELD_BYTES_MAX, "{bytes}");
        drop(place);
        assert_eq!(holds.bytes().available_permits(), HELD_BYTES_MAX);
    }
}
