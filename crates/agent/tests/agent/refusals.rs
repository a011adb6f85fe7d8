//! What ends the agent, with which status, and what does not.

use adit_api::Code;
use adit_domain::Epoch;
use adit_domain::id::EndpointId;
use adit_wire::control::{BindRefusal, Frame, GoodbyeReason, Unbind, UnbindReason};
use adit_wire::preface::Status;

use crate::fake::{ApiAnswer, FakeServer};
use crate::program::{Ended, Home};

fn assert_over(ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let last = ended.last_event();
    assert_eq!((last["event"].as_str(), last["exit_code"].as_i64()), (Some("stopped"), Some(code.into())));
    assert!(last["message"].is_string() && last["advice"].is_string(), "{last}");
    assert!(ended.stderr.contains("error: "), "{ended:?}");
}

#[tokio::test]
async fn what_the_api_refuses_for_good() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let cases = [
        (ApiAnswer::Problem(Code::ApiKeyRejected, None), 4, Some("ADIT-4001")),
        (ApiAnswer::Problem(Code::ApiKeyMissing, None), 4, Some("ADIT-4000")),
        (ApiAnswer::Problem(Code::BadRequest, None), 5, Some("ADIT-1000")),
        (ApiAnswer::Problem(Code::NotTheServer, None), 5, Some("ADIT-1011")),
        (ApiAnswer::Foreign(401), 4, None),
    ];
    for (answer, status, code) in cases {
        server.answer_next(answer);
        let ended = home.http("3000", &[]).ended().await;
        assert_over(&ended, status);
        assert_eq!(ended.last_event()["code"].as_str(), code);
    }
}

#[tokio::test]
async fn what_passes_at_the_api_is_tried_again() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    server.answer_next(ApiAnswer::Problem(Code::ControlPlaneUnavailable, Some(1)));
    server.answer_next(ApiAnswer::Foreign(502));
    server.answer_next(ApiAnswer::Foreign(404));
    let mut program = home.http("3000", &[]);
    let first = program.event_at_last("disconnected").await;
    assert_eq!((first["reason"].as_str(), first["code"].as_str()), (Some("unavailable"), Some("ADIT-3002")));
    assert!(first["retry_in_ms"].as_u64().unwrap() >= 1000, "{first}");
    assert_eq!(program.event_at_last("disconnected").await["reason"], "unavailable");
    assert_eq!(program.event_at_last("disconnected").await["reason"], "protocol");
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_taken() {
    let server = FakeServer::start().await;
    let other = FakeServer::start().await;
    let home = Home::of(&server);
    let other_ca = other.ca_file.display().to_string();
    let mut program = home.http("3000", &["--ca-file", &other_ca]);
    let event = program.event_at_last("disconnected").await;
    assert_eq!(event["reason"], "untrusted");
    assert!(event["message"].as_str().unwrap().contains("--ca-file"), "{event}");
    assert!(server.exchanges().is_empty());
}

#[tokio::test]
async fn what_the_preface_refuses_for_good() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let cases = [(Status::VersionUnsupported, 5), (Status::PossessionInvalid, 5), (Status::Malformed, 5)];
    for (status, code) in cases {
        let program = home.http("3000", &[]);
        server.knock().await.refuse(status, 0).await;
        assert_over(&program.ended().await, code);
    }
}

#[tokio::test]
async fn what_passes_at_the_preface_is_tried_again() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    for (status, reason) in [
        (Status::Overloaded, "unavailable"),
        (Status::Draining, "draining"),
        (Status::RateLimited, "unavailable"),
    ] {
        server.knock().await.refuse(status, 100).await;
        let event = program.event_at_last("disconnected").await;
        assert_eq!(event["reason"], reason);
        assert!(event["retry_in_ms"].as_u64().unwrap() >= 100, "{event}");
    }
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
}

#[tokio::test]
async fn an_expired_capability_is_exchanged_and_shown_to_nobody_again() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    for status in [Status::CapabilityExpired, Status::CapabilityInvalid, Status::CapabilityRevoked] {
        server.knock().await.refuse(status, 0).await;
        assert_eq!(program.event_at_last("disconnected").await["reason"], "capability_refused");
    }
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
    assert_eq!(server.exchanges().len(), 4);
}

#[tokio::test]
async fn what_a_bind_is_refused_for() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let cases = [
        BindRefusal::NotYours,
        BindRefusal::NameTaken,
        BindRefusal::NameInvalid,
        BindRefusal::Replaced,
        BindRefusal::LimitReached,
        BindRefusal::RightMissing,
    ];
    for reason in cases {
        let program = home.http("3000", &["--url", "demo"]);
        let mut session = server.knock().await.welcome().await;
        let bind = session.bind().await;
        session.refuse_bind(&bind, reason, "the \u{202e}message of the node").await;
        let ended = program.ended().await;
        assert_over(&ended, 5);
        assert_eq!(ended.stdout.contains("\"event\":\"replaced\""), reason == BindRefusal::Replaced);
        assert!(!ended.stderr.lines().any(|line| line.starts_with("error:") && line.contains('\u{202e}')));
    }
    let mut program = home.http("3000", &[]);
    let mut session = server.knock().await.welcome().await;
    let bind = session.bind().await;
    session.refuse_bind(&bind, BindRefusal::TryLater, "").await;
    assert_eq!(program.event_at_last("disconnected").await["reason"], "bind_refused");
    let _online = server.online(1).await;
    program.event_at_last("url_assigned").await;
}

#[tokio::test]
async fn whoever_is_replaced_ends_and_does_not_fight_back() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (session, _, bound) = server.online(4).await;
    program.event_at_last("url_assigned").await;
    // What is said about another endpoint, or about an earlier binding of this one, means nothing.
    for (endpoint, epoch) in [(bound.endpoint, Epoch(3)), (EndpointId::new(), Epoch(5))] {
        session.send(Frame::Unbind(Unbind { endpoint, epoch, reason: UnbindReason::Replaced })).await;
    }
    let (endpoint, epoch) = (bound.endpoint, Epoch(5));
    session.send(Frame::Unbind(Unbind { endpoint, epoch, reason: UnbindReason::Replaced })).await;
    assert_eq!(program.event("replaced").await["url"], "https://demo.test");
    let ended = program.ended().await;
    assert_over(&ended, 5);
    assert_eq!(ended.stdout.matches("\"event\":\"connecting\"").count(), 1);
}

#[tokio::test]
async fn what_ends_a_live_session_for_good() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    for reason in [UnbindReason::Revoked, UnbindReason::EndpointRemoved] {
        let mut program = home.http("3000", &[]);
        let (session, _, bound) = server.online(1).await;
        program.event_at_last("url_assigned").await;
        let (endpoint, epoch) = (bound.endpoint, bound.epoch);
        session.send(Frame::Unbind(Unbind { endpoint, epoch, reason })).await;
        assert_over(&program.ended().await, 5);
    }
}

#[tokio::test]
async fn after_a_revocation_the_api_has_the_last_word() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Revoked, retry_after_ms: 0 };
    // Only the capability was revoked.
    let (session, _, _) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    session.send(goodbye.clone()).await;
    assert_eq!(program.event("disconnected").await["reason"], "capability_refused");
    let (session, bind, _) = server.online(1).await;
    assert_eq!(bind.prior_epoch, Epoch(1));
    program.event_at_last("url_assigned").await;
    // Now the key.
    server.answer_next(ApiAnswer::Problem(Code::ApiKeyRejected, None));
    session.send(goodbye).await;
    assert_over(&program.ended().await, 4);
    assert_eq!(server.exchanges().len(), 3);
}
