//! Coming back, staying, and moving on.

use std::time::Duration;

use adit_agent::limits::{DRAINING_SESSIONS_MAX, EXCHANGE_BODY_BYTES_MAX};
use adit_api::Code;
use adit_domain::Epoch;
use adit_wire::control::{DrainReason, Frame, GoodbyeReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fake::{ApiAnswer, FakeServer};
use crate::program::Home;

#[tokio::test]
async fn after_a_restart_of_the_server_it_resumes_what_it_held() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (session, first, _) = server.online(6).await;
    assert_eq!(first.prior_epoch, Epoch::NONE);
    program.event_at_last("url_assigned").await;
    session.session.close("restart");
    assert_eq!(program.event("disconnected").await["reason"], "connection_lost");
    server.hang_up().await;
    assert_eq!(program.event_at_last("disconnected").await["reason"], "unreachable");
    let (_session, second, _) = server.online(6).await;
    assert_eq!(second.prior_epoch, Epoch(6));
    assert_eq!(second.hostname.unwrap().as_str(), "demo.test");
    assert_eq!((second.instance, second.label), (first.instance, first.label));
    program.event_at_last("url_assigned").await;
    // The capability is still good: the API need not be there.
    assert!(server.exchanges().len() <= 2);
}

#[tokio::test]
async fn while_the_api_is_away_the_capability_still_does() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (session, _, _) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    for _ in 0..8 {
        server.answer_next(ApiAnswer::Problem(Code::ControlPlaneUnavailable, Some(600)));
    }
    session.session.close("restart");
    for _ in 0..3 {
        server.hang_up().await;
        let event = program.event_at_last("disconnected").await;
        assert!(event["retry_in_ms"].as_u64().unwrap() < 600_000, "{event}");
    }
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
}

#[tokio::test]
async fn a_goodbye_says_when_to_come_back() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (session, _, _) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    session.send(Frame::Goodbye { reason: GoodbyeReason::Draining, retry_after_ms: 700 }).await;
    let event = program.event("disconnected").await;
    assert_eq!(event["reason"], "draining");
    assert!((700..=1200).contains(&event["retry_in_ms"].as_u64().unwrap()), "{event}");
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
    assert_eq!(server.exchanges().len(), 1);
}

#[tokio::test]
async fn a_goodbye_for_an_expired_capability_leads_to_a_new_one() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (session, _, _) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    session.send(Frame::Goodbye { reason: GoodbyeReason::CapabilityExpired, retry_after_ms: 0 }).await;
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
    assert_eq!(server.exchanges().len(), 2);
}

#[tokio::test]
async fn what_is_open_on_a_session_that_drains_goes_on_beside_the_next_one() {
    for (reason, told) in [(DrainReason::NodeLeaves, "draining"), (DrainReason::WornOut, "worn_out")] {
        goes_on_beside_the_next(reason, told).await;
    }
}

async fn goes_on_beside_the_next(reason: DrainReason, told: &str) {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    let home = Home::of(&server);
    let mut program = home.http(&address, &[]);
    let (old, _, bound) = server.online(2).await;
    program.event_at_last("url_assigned").await;
    let mut visitor = old.visitor(&bound).await;
    let (mut service, _) = upstream.accept().await.unwrap();
    old.send(Frame::Drain { reason, deadline_ms: 60_000 }).await;
    assert_eq!(program.event_at_last("disconnected").await["reason"], told);
    let (_new, bind, _) = server.online(2).await;
    assert_eq!(bind.prior_epoch, Epoch(2));
    program.event_at_last("url_assigned").await;
    service.write_all(b"still here").await.unwrap();
    service.shutdown().await.unwrap();
    let mut text = String::new();
    visitor.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "still here");
}

#[tokio::test]
async fn a_live_session_asks_for_a_fresh_capability_and_uses_it() {
    let server = FakeServer::start().await;
    server.lifetime(Duration::from_secs(4));
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (mut session, _, _) = server.online(1).await;
    let Frame::Refresh { request } = session.frame().await else { panic!("no refresh") };
    let fresh = server.another_capability();
    session.send(Frame::Refreshed { request, capability: fresh.clone() }).await;
    session.send(Frame::Goodbye { reason: GoodbyeReason::Overloaded, retry_after_ms: 0 }).await;
    program.event_at_last("disconnected").await;
    let knock = server.knock().await;
    assert_eq!(knock.preface.capability.as_bytes(), fresh.as_bytes());
    assert_eq!(server.exchanges().len(), 1);
}

#[tokio::test]
async fn an_answer_of_the_api_has_so_many_bytes() {
    for bytes in [EXCHANGE_BODY_BYTES_MAX - 1, EXCHANGE_BODY_BYTES_MAX] {
        let server = FakeServer::start().await;
        let home = Home::of(&server);
        server.answer_next(ApiAnswer::Padded(bytes));
        let mut program = home.http("3000", &[]);
        let _online = server.online(1).await;
        program.event_at_last("url_assigned").await;
    }
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    server.answer_next(ApiAnswer::Padded(EXCHANGE_BODY_BYTES_MAX + 1));
    let mut program = home.http("3000", &[]);
    let event = program.event_at_last("disconnected").await;
    assert!(event["message"].as_str().unwrap().contains("too long"), "{event}");
}

#[tokio::test]
async fn so_many_sessions_drain_beside_the_live_one_and_the_oldest_is_cut() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let mut program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let mut draining = Vec::new();
    for _ in 0..=DRAINING_SESSIONS_MAX {
        let (session, _, bound) = server.online(2).await;
        program.event_at_last("url_assigned").await;
        let visitor = session.visitor(&bound).await;
        let (service, _) = upstream.accept().await.unwrap();
        session.send(Frame::Drain { reason: DrainReason::NodeLeaves, deadline_ms: 60_000 }).await;
        program.event_at_last("disconnected").await;
        draining.push((session, visitor, service));
    }
    let _live = server.online(2).await;
    program.event_at_last("url_assigned").await;
    let mut draining = draining.into_iter();
    let (oldest, mut cut, _service) = draining.next().unwrap();
    oldest.gone().await;
    assert!(cut.read_to_end(&mut Vec::new()).await.is_err());
    for (_session, mut visitor, mut service) in draining {
        service.write_all(b"still here").await.unwrap();
        service.shutdown().await.unwrap();
        let mut text = String::new();
        visitor.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "still here");
    }
}
