//! Any byte is life; silence is a ping and then the end.

use std::time::Duration;

use adit_mux::limits::{HEARTBEAT_DEAD, HEARTBEAT_IDLE};
use adit_mux::{CloseReason, Config};
use adit_wire::control::{DrainReason, Frame};
use tokio::{
    io::duplex,
    time::{Instant, advance, sleep},
};

use crate::{
    kit::{header, pair_over},
    raw::{ACK, CONTROL, PING, Raw, SYN, WINDOW},
};

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_dead() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    let driver = tokio::spawn(driver.run());
    let start = Instant::now();
    assert!(matches!(raw.next_control().await, Frame::Ping { .. }));
    assert_eq!(start.elapsed().as_millis(), HEARTBEAT_IDLE.as_millis());
    assert!(!session.is_closed());
    assert_eq!(session.closed().wait().await, CloseReason::Silent);
    assert_eq!(start.elapsed().as_millis(), HEARTBEAT_DEAD.as_millis());
    assert_eq!(driver.await.unwrap(), CloseReason::Silent);
}

#[tokio::test(start_paused = true)]
async fn the_agent_watches_the_server_too() {
    let (mut raw, incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let start = Instant::now();
    assert!(
        matches!(raw.next_control().await, Frame::Ping { nonce: 1 }),
        "the first one announces the stream"
    );
    assert!(matches!(raw.next_control().await, Frame::Ping { nonce: 2 }));
    // The answers to yamux's own pings were the last bytes.
    assert_eq!(start.elapsed().as_millis(), HEARTBEAT_IDLE.as_millis());
    assert_eq!(incoming.closed().wait().await, CloseReason::Silent);
    assert_eq!(start.elapsed().as_millis(), HEARTBEAT_DEAD.as_millis());
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_shows() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    sleep(Duration::from_secs(3)).await;
    assert_eq!(session.unanswered_for(), Duration::ZERO, "nothing was asked");
    let _stream = session.open(&header()).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(session.unanswered_for().as_secs(), 3);
    let _another = session.open(&header()).await.unwrap();
    assert_eq!(session.unanswered_for().as_secs(), 3, "the first question counts");
    raw.send(WINDOW, 0, CONTROL, 1, &[]).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(session.unanswered_for(), Duration::ZERO, "any byte is an answer");
    assert!(matches!(raw.next_control().await, Frame::Ping { .. }));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(session.unanswered_for().as_secs(), 2, "a ping is a question");
}

#[tokio::test(start_paused = true)]
async fn the_times_come_from_the_preface() {
    let config = Config {
        heartbeat_idle: Duration::from_millis(200),
        heartbeat_dead: Duration::from_millis(300),
        ..Config::default()
    };
    let (mut raw, session, _control, driver) = Raw::agent_of(&config).await;
    tokio::spawn(driver.run());
    let start = Instant::now();
    assert!(matches!(raw.next_control().await, Frame::Ping { .. }));
    assert_eq!(start.elapsed().as_millis(), 200);
    assert_eq!(session.closed().wait().await, CloseReason::Silent);
    assert_eq!(start.elapsed().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_life() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    for seconds in [14, 9, 14, 1, 14] {
        sleep(Duration::from_secs(seconds)).await;
        // A window update of the control stream: nothing that the mux itself would answer.
        raw.send(WINDOW, 0, CONTROL, 1, &[]).await;
    }
    sleep(Duration::from_secs(14)).await;
    // Even a part of a header.
    tokio::io::AsyncWriteExt::write_all(&mut raw.io, &[0]).await.unwrap();
    sleep(Duration::from_secs(14)).await;
    assert!(!session.is_closed());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(session.closed().reason(), Some(CloseReason::Silent));
}

#[tokio::test]
async fn a_ping_is_answered_and_never_surfaces() {
    let (mut raw, _session, mut control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    raw.control(&Frame::Ping { nonce: 4711 }, 0).await;
    raw.control(&Frame::Ping { nonce: 4712 }, 0).await;
    assert_eq!(raw.next_control().await, Frame::Pong { nonce: 4711 });
    raw.control(&Frame::Pong { nonce: 9 }, 0).await;
    raw.control(&Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }, 0).await;
    assert_eq!(control.recv().await, Ok(Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }));
}

#[tokio::test]
async fn pings_of_yamux_are_answered() {
    let (mut raw, _session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    raw.send(PING, SYN, 0, 77, &[]).await;
    loop {
        let frame = raw.next().await.unwrap();
        if frame.tag == PING {
            assert_eq!((frame.flags, frame.length), (ACK, 77));
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_idle_ends_keep_each_other_alive() {
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, &Config::default());
    let (ours, theirs) = pair.stream().await;
    for _ in 0..60 {
        sleep(Duration::from_mins(1)).await;
    }
    assert!(!pair.session.is_closed());
    drop((ours, theirs));
    pair.stream().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_past_both_times_still_ends_the_session() {
    let (_raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    tokio::task::yield_now().await;
    advance(Duration::from_hours(1)).await;
    assert_eq!(session.closed().wait().await, CloseReason::Silent);
}
