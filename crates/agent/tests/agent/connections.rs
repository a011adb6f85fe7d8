//! Several connections, one agent.

use adit_agent::limits::{CONNECTIONS_DEFAULT, CONNECTIONS_MAX};
use adit_domain::{Balance, Epoch, Pooling, Sticky};
use adit_wire::control::{DrainReason, Frame, GoodbyeReason, Unbind, UnbindReason};
use adit_wire::preface::Status;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fake::{FakeServer, NodeSession};
use crate::program::{Home, Program};

/// The next events say so many connections, one after the other.
async fn counts(program: &mut Program, expected: &[(u64, u64)]) {
    for (open, wanted) in expected {
        let event = program.event("connections").await;
        assert_eq!((&event["open"], &event["wanted"]), (&Value::from(*open), &Value::from(*wanted)));
    }
}

/// A session that is added to what the agent holds.
async fn add(server: &FakeServer, epoch: u64) -> NodeSession {
    let mut session = server.knock().await.welcome().await;
    let bind = session.bind().await;
    assert_eq!((bind.prior_epoch, bind.hostname.as_ref().unwrap().as_str()), (Epoch(epoch), "demo.test"));
    session.bound(&bind, "demo.test", epoch).await;
    session
}

#[tokio::test]
async fn the_first_takes_over_and_the_others_are_added() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http_over("3", "3000", &[]);
    let (first, bind, _) = server.online(6).await;
    assert_eq!((bind.prior_epoch, bind.hostname), (Epoch::NONE, None));
    for name in ["starting", "connecting", "connected", "url_assigned"] {
        program.event(name).await;
    }
    counts(&mut program, &[(1, 3)]).await;
    let _second = add(&server, 6).await;
    let _third = add(&server, 6).await;
    counts(&mut program, &[(2, 3), (3, 3)]).await;
    // One exchange did for all.
    assert_eq!(server.exchanges().len(), 1);
    // A lost one comes back by itself, and the agent is online all along.
    first.session.close("lost");
    counts(&mut program, &[(2, 3)]).await;
    let _first = add(&server, 6).await;
    counts(&mut program, &[(3, 3)]).await;
}

#[tokio::test]
async fn while_all_are_lost_one_tries_for_all() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let mut program = home.http_over("4", "3000", &[]);
    let (first, ..) = server.online(2).await;
    let mut sessions = vec![first];
    for _ in 1..4 {
        sessions.push(add(&server, 2).await);
    }
    for name in ["starting", "connecting", "connected", "url_assigned"] {
        program.event(name).await;
    }
    counts(&mut program, &[(1, 4), (2, 4), (3, 4), (4, 4)]).await;
    for session in &sessions {
        session.session.close("lost");
    }
    counts(&mut program, &[(3, 4), (2, 4), (1, 4)]).await;
    assert_eq!(program.event("disconnected").await["reason"], "connection_lost");
    // Three tries, each told: those who wait make none of their own.
    for attempt in 1..=3 {
        assert_eq!(program.event("connecting").await["attempt"], attempt);
        server.knock().await.refuse(Status::Overloaded, 0).await;
        assert_eq!(program.event("disconnected").await["reason"], "unavailable");
    }
    let _back = add(&server, 2).await;
    for name in ["connecting", "connected", "url_assigned"] {
        program.event(name).await;
    }
    counts(&mut program, &[(1, 4)]).await;
    let mut back = Vec::new();
    for open in 2..=4 {
        back.push(add(&server, 2).await);
        counts(&mut program, &[(open, 4)]).await;
    }
}

#[tokio::test]
async fn replaced_on_one_is_the_end_of_all() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let program = home.http_over("2", "3000", &[]);
    let (first, _, bound) = server.online(2).await;
    let second = add(&server, 2).await;
    let unbind = Unbind { endpoint: bound.endpoint, epoch: Epoch(3), reason: UnbindReason::Replaced };
    first.send(Frame::Unbind(unbind)).await;
    second.gone().await;
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(5));
    assert!(ended.stdout.contains("\"replaced\""), "{}", ended.stdout);
}

#[tokio::test]
async fn every_connection_brings_visitors() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let program = home.http_over("2", &upstream.local_addr().unwrap().to_string(), &[]);
    let (first, _, first_bound) = server.online(2).await;
    let mut second = server.knock().await.welcome().await;
    let bind = second.bind().await;
    let second_bound = second.bound(&bind, "demo.test", 2).await;
    for (session, bound) in [(&first, &first_bound), (&second, &second_bound)] {
        let mut visitor = session.visitor(bound).await;
        let (mut service, _) = upstream.accept().await.unwrap();
        service.write_all(b"hello").await.unwrap();
        service.shutdown().await.unwrap();
        let mut text = String::new();
        visitor.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
    }
    // Ctrl-C gives the endpoint back on each of them.
    program.signal("INT").await;
    for session in [first, second] {
        let mut session = session;
        loop {
            match session.frame().await {
                Frame::Unbind(unbind) => break assert_eq!(unbind.reason, UnbindReason::AgentAsked),
                other => assert!(matches!(other, Frame::Ping { .. }), "{other:?}"),
            }
        }
    }
    assert_eq!(program.ended().await.code, Some(130));
}

/// The frames of a session up to its goodbye, without pings.
async fn last_words(session: &mut NodeSession) -> Vec<Frame> {
    let mut said = Vec::new();
    loop {
        match session.frame().await {
            Frame::Ping { .. } => {}
            Frame::Goodbye { reason: GoodbyeReason::Finished, .. } => return said,
            frame => said.push(frame),
        }
    }
}

/// The node may have bound it, and the answer be on its way.
#[tokio::test]
async fn ctrl_c_gives_the_endpoint_back_where_the_bind_is_not_answered_yet() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let program = home.http_over("3", "3000", &[]);
    let (mut first, ..) = server.online(6).await;
    let mut answered = server.knock().await.welcome().await;
    let bind = answered.bind().await;
    let mut unanswered = server.knock().await.welcome().await;
    unanswered.bind().await;
    program.signal("INT").await;
    assert!(matches!(first.frame().await, Frame::Unbind(_)));
    answered.bound_perhaps(&bind, "demo.test", 6).await;
    // In time it is answered by an unbind; a slow machine says goodbye alone.
    let said = last_words(&mut answered).await;
    assert!(
        said.iter().all(|frame| matches!(frame, Frame::Unbind(unbind) if unbind.epoch == Epoch(6))),
        "{said:?}"
    );
    assert_eq!(last_words(&mut unanswered).await, []);
    assert_eq!(last_words(&mut first).await, []);
    assert_eq!(program.ended().await.code, Some(130));
}

/// Whatever the node has bound stays held: a goodbye would give it back.
#[tokio::test]
async fn an_agent_that_returns_says_nothing_where_the_bind_is_not_answered_yet() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let program = home.http_over("2", "3000", &[]);
    let (mut first, ..) = server.online(6).await;
    let mut second = server.knock().await.welcome().await;
    second.bind().await;
    program.signal("TERM").await;
    let Frame::Unbind(unbind) = first.frame().await else { panic!("no unbind") };
    assert_eq!(unbind.reason, UnbindReason::AgentReturns);
    second.gone().await;
    assert!(second.frames.recv().await.is_err(), "it said something");
    assert_eq!(last_words(&mut first).await, []);
    assert_eq!(program.ended().await.code, Some(0));
}

/// The node goes on with it until it is closed.
#[tokio::test]
async fn ctrl_c_gives_the_endpoint_back_on_a_session_that_drains_too() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let program = home.http_over("1", "3000", &[]);
    let (mut old, _, bound) = server.online(6).await;
    old.send(Frame::Drain { reason: DrainReason::WornOut, deadline_ms: 60_000 }).await;
    let mut new = server.knock().await.welcome().await;
    let bind = new.bind().await;
    new.bound(&bind, "demo.test", 6).await;
    program.signal("INT").await;
    for session in [&mut new, &mut old] {
        let Frame::Unbind(unbind) = session.frame().await else { panic!("no unbind") };
        assert_eq!((unbind.epoch, unbind.reason), (bound.epoch, UnbindReason::AgentAsked));
        assert_eq!(last_words(session).await, []);
    }
    assert_eq!(program.ended().await.code, Some(130));
}

#[tokio::test]
async fn there_are_from_one_to_eight() {
    let home = Home::new();
    for (number, status) in [("0", 2), ("1", 4), ("8", 4), ("9", 2), ("many", 2)] {
        for flag in ["--connections", "--pool-size"] {
            // Without a key a command line that is right fails later.
            let ended = home.run(&["http", "3000", flag, number], "").await;
            assert_eq!(ended.code, Some(status), "{flag} {number}: {}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn how_an_address_is_shared_is_said_with_every_bind() {
    let server = FakeServer::start().await;
    let home = Home::of(&server);
    let cases: [(&[&str], Option<Pooling>); 4] = [
        (&[], None),
        (&["--pooling"], Some(Pooling::default())),
        (
            &["--pooling", "--balance", "round-robin", "--sticky", "cookie"],
            Some(Pooling { balance: Balance::RoundRobin, sticky: Sticky::Cookie }),
        ),
        (
            &["--pooling-enabled", "--balance", "random", "--sticky", "address"],
            Some(Pooling { balance: Balance::Random, sticky: Sticky::Address }),
        ),
    ];
    for (flags, expected) in cases {
        let _program = home.http_over("2", "3000", flags);
        for _ in 0..2 {
            let mut session = server.knock().await.welcome().await;
            let bind = session.bind().await;
            assert_eq!(bind.pooling, expected, "{flags:?}");
            session.bound(&bind, "demo.test", 1).await;
        }
    }
    for flags in [["--balance", "least"], ["--sticky", "cookie"]] {
        let ended = home.run(&["http", "3000", flags[0], flags[1]], "").await;
        assert_eq!(ended.code, Some(2), "without a pool there is nothing to share: {}", ended.stderr);
    }
    for kind in ["tcp", "udp", "tls"] {
        let ended = home.run(&[kind, "3000", "--pooling", "--sticky", "cookie"], "").await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("--sticky address"), "{ended:?}");
    }
}

#[tokio::test]
async fn an_agent_holds_so_many_connections_and_no_more() {
    for (flags, wanted) in [
        (vec![], CONNECTIONS_DEFAULT),
        (vec!["--connections".to_owned(), (CONNECTIONS_MAX - 1).to_string()], CONNECTIONS_MAX - 1),
        (vec!["--connections".to_owned(), CONNECTIONS_MAX.to_string()], CONNECTIONS_MAX),
    ] {
        // Those of the one before may still be in the queue of its server.
        let server = FakeServer::start().await;
        let home = Home::of(&server);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut program = home.start(&[&["http", "3000", "--json"], &flags[..]].concat());
        let _online = server.online(1).await;
        let event = program.event_at_last("connections").await;
        assert_eq!(event["wanted"].as_u64(), u64::try_from(wanted).ok());
    }
    let home = Home::new();
    for number in [0, CONNECTIONS_MAX + 1] {
        let ended = home.run(&["http", "3000", "--connections", &number.to_string()], "").await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}
