//! From the first event to the exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use adit_agent::limits::GRACE_RETURNING;
use adit_mux::{Answer, StreamError};
use adit_wire::control::{Frame, GoodbyeReason, UnbindReason};
use adit_wire::record::AbortCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::fake::{FakeServer, PATIENCE};
use crate::program::{Home, ONE_SECOND};

#[tokio::test]
async fn connected_and_url_assigned_are_two_states() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let starting = program.event("starting").await;
    assert_eq!((&starting["upstream"], &starting["schema"]), (&"http://localhost:3000".into(), &1.into()));
    assert_eq!(program.event("connecting").await["attempt"], 1);
    let knock = server.knock().await;
    let mut session = knock.welcome().await;
    assert_eq!(program.event("connected").await["node"], server.node_id.to_string());
    let bind = session.bind().await;
    assert_eq!((bind.hostname.as_ref(), bind.label.as_str()), (None, "http://localhost:3000"));
    let bound = session.bound(&bind, "demo.test", 3).await;
    let assigned = program.event("url_assigned").await;
    assert_eq!(assigned["url"], "https://demo.test");
    assert_eq!(
        (assigned["epoch"].as_u64(), assigned["endpoint"].as_str()),
        (Some(3), Some(&*bound.endpoint.to_string()))
    );
    let exchanges = server.exchanges();
    assert_eq!(exchanges.len(), 1);
    assert_eq!(exchanges[0].authorization, format!("Bearer {}", home.key.expose()));
    assert_eq!(exchanges[0].request.instance, bind.instance);
    program.signal("INT").await;
    program.ended().await;
}

#[tokio::test]
async fn people_see_one_block() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.start(&["http", "localhost:3000", "--url", "demo"]);
    let (_session, bind, _) = server.online(1).await;
    assert_eq!(bind.hostname.unwrap().as_str(), "demo");
    assert_eq!(program.line().await.unwrap(), "Session Status  online");
    assert!(program.line().await.unwrap().starts_with("Version         "));
    assert_eq!(program.line().await.unwrap(), "Forwarding      https://demo.test -> http://localhost:3000");
    program.signal("TERM").await;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_log_on_standard_output_takes_the_place_of_the_block() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.start(&["http", "3000", "--log", "stdout", "--log-format", "json"]);
    let (_session, _, _) = server.online(1).await;
    loop {
        let line: serde_json::Value = serde_json::from_str(&program.line().await.unwrap()).unwrap();
        if line.to_string().contains("https://demo.test") {
            break;
        }
    }
    program.signal("INT").await;
    assert_eq!(program.ended().await.code, Some(130));
}

#[tokio::test]
async fn ctrl_c_gives_the_endpoint_back_and_says_goodbye() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http("3000", &[]);
    let (mut session, _, bound) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    let asked = Instant::now();
    program.signal("INT").await;
    match session.frame().await {
        Frame::Unbind(unbind) => {
            assert_eq!(
                (unbind.endpoint, unbind.epoch, unbind.reason),
                (bound.endpoint, bound.epoch, UnbindReason::AgentAsked)
            );
            session.send(Frame::Unbind(unbind)).await;
        }
        other => panic!("{other:?} instead of an unbind"),
    }
    assert!(matches!(session.frame().await, Frame::Goodbye { reason: GoodbyeReason::Finished, .. }));
    session.gone().await;
    let ended = program.ended().await;
    assert!(asked.elapsed() < ONE_SECOND, "{:?}", asked.elapsed());
    assert_eq!(ended.code, Some(130));
    assert_eq!(ended.last_event()["event"], "stopped");
    assert_eq!(ended.last_event()["exit_code"], 130);
}

#[tokio::test]
async fn ctrl_c_ends_it_in_every_state() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    // While it waits for the answer to its preface.
    let mut program = home.http("3000", &[]);
    let _knock = server.knock().await;
    program.event_at_last("connecting").await;
    program.signal("INT").await;
    assert_eq!(program.ended().await.code, Some(130));
    // While it waits for its next try.
    let mut program = home.http("3000", &["--server", "localhost:1"]);
    assert_eq!(program.event_at_last("disconnected").await["reason"], "unreachable");
    program.signal("INT").await;
    assert_eq!(program.ended().await.code, Some(130));
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_without_an_error() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let program = home.http("3000", &[]);
    let mut child = program.close_stdout();
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn the_agents_key_stays_and_is_private() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    for _ in 0..2 {
        let mut program = home.http("3000", &[]);
        let (_session, _, _) = server.online(1).await;
        program.event_at_last("url_assigned").await;
        program.signal("INT").await;
        program.ended().await;
    }
    let file = home.config().with_file_name("agent.key");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let exchanges = server.exchanges();
    assert_eq!(exchanges[0].request.agent_public_key, exchanges[1].request.agent_public_key);
    assert_ne!(exchanges[0].request.instance, exchanges[1].request.instance);
}

/// What a service manager says before it starts the next one.
#[tokio::test]
async fn sigterm_lets_streams_finish_and_says_that_the_agent_returns() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let mut program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let (mut session, _, bound) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    let mut visitor = session.visitor(&bound).await;
    let (mut service, _) = upstream.accept().await.unwrap();
    assert_eq!(visitor.answer().await.unwrap(), Answer::Dialled);

    program.signal("TERM").await;
    let Frame::Unbind(unbind) = session.frame().await else { panic!("no unbind") };
    assert_eq!((unbind.endpoint, unbind.reason), (bound.endpoint, UnbindReason::AgentReturns));
    let mut crossed = session.visitor(&bound).await;
    let refused = crossed.answer().await.unwrap_err();
    assert_eq!(refused, StreamError::Aborted(AbortCode::NotBound));
    session.send(Frame::Unbind(unbind)).await;

    service.write_all(b"the whole answer").await.unwrap();
    service.shutdown().await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut text = String::new();
    timeout(PATIENCE, visitor.read_to_string(&mut text)).await.unwrap().unwrap();
    assert_eq!(text, "the whole answer");
    assert!(matches!(session.frame().await, Frame::Goodbye { reason: GoodbyeReason::Finished, .. }));
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let mut program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let (mut session, _, bound) = server.online(1).await;
    program.event_at_last("url_assigned").await;
    let mut visitor = session.visitor(&bound).await;
    let _service = upstream.accept().await.unwrap();
    assert_eq!(visitor.answer().await.unwrap(), Answer::Dialled);
    let asked = Instant::now();
    program.signal("TERM").await;
    assert!(matches!(session.frame().await, Frame::Unbind(_)));
    program.signal("TERM").await;
    assert_eq!(program.ended().await.code, Some(0));
    assert!(asked.elapsed() < GRACE_RETURNING, "{:?}", asked.elapsed());
}
