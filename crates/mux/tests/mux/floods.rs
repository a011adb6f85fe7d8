//! Peers that send much of what costs them nothing: their session dies or they are slowed down, and nothing piles up.

use std::time::Duration;

use adit_mux::{CloseReason, Config, limits, serve};
use adit_wire::{
    control::{self, Frame},
    credit::Credit,
};
use tokio::{
    io::{AsyncWriteExt as _, duplex},
    time::{Instant, sleep, timeout},
};

use crate::{
    kit::{header, until, within},
    raw::{CONTROL, CREDIT, DATA, PING, RST, Raw, SYN, WINDOW},
};

/// What lies between the raw peer and the side under test.
const PIPE_BYTES: usize = 256;

fn frame(tag: u8, flags: u8, id: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, tag, 0, flags];
    bytes.extend(id.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// A server whose agent has a narrow pipe and does not read.
fn deaf_agent() -> (Raw, tokio::task::JoinHandle<CloseReason>) {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let (session, control, driver) = serve(theirs, &Config::default());
    let driver = tokio::spawn(async move {
        let reason = driver.run().await;
        drop((session, control));
        reason
    });
    (Raw::over(ours), driver)
}

async fn announce(raw: &mut Raw) {
    raw.control(&Frame::Pong { nonce: 0 }, SYN).await;
    raw.data(SYN, CREDIT, &Credit::HELLO.encode()).await;
}

/// Sends the same bytes again and again until nobody takes them for a while, and says how many that were.
async fn send_until_stuck(raw: &mut Raw, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while let Ok(Ok(())) = timeout(Duration::from_secs(1), raw.io.write_all(bytes)).await {
        sent += bytes.len();
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn pings_without_reading_are_taken_until_the_answers_have_no_room() {
    let (mut raw, driver) = deaf_agent();
    announce(&mut raw).await;
    let start = Instant::now();
    let sent = send_until_stuck(&mut raw, &frame(PING, SYN, 0, 1)).await;
    assert!(sent <= limits::COALESCED_BYTES_MAX + 2 * PIPE_BYTES, "{sent}");
    let reason = driver.await.unwrap();
    assert!(matches!(reason, CloseReason::Silent | CloseReason::Stalled), "{reason}");
    assert!(start.elapsed() <= 2 * limits::WRITE_STALL + limits::CLOSE_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_and_never_reads_is_given_up() {
    let (mut raw, driver) = deaf_agent();
    announce(&mut raw).await;
    let ping = {
        let mut bytes = Vec::new();
        control::encode(&Frame::Ping { nonce: 1 }, &mut bytes).unwrap();
        bytes
    };
    let start = Instant::now();
    // The answers fill the pipe, and no answer to these is needed.
    for _ in 0..50 {
        raw.data(0, CONTROL, &ping).await;
    }
    while !driver.is_finished() {
        let _ = raw.io.write_all(&frame(WINDOW, 0, 99, 1)).await;
        sleep(Duration::from_secs(1)).await;
        assert!(start.elapsed() < 3 * limits::WRITE_STALL);
    }
    assert_eq!(driver.await.unwrap(), CloseReason::Stalled);
    assert!(start.elapsed() >= limits::WRITE_STALL);
}

#[tokio::test]
async fn streams_opened_and_reset_for_ever_fill_nothing() {
    let config = Config { streams_max: 10, ..Config::default() };
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&config);
    tokio::spawn(driver.run());
    // Nobody takes them: what is beyond the gate is refused at once.
    let mut id = 0;
    for _ in 0..5_000 {
        id += 2;
        raw.send(DATA, SYN, id, 0, &[]).await;
        raw.send(DATA, RST, id, 0, &[]).await;
    }
    raw.settled().await;
    assert_eq!(incoming.open_streams(), 10 + limits::STREAMS_SLACK);
    id += 2;
    let arrival = tokio::spawn(async move { incoming.next().await.map(|arrival| (arrival, incoming)) });
    // The first look at what was taken shows that it is gone.
    while !arrival.is_finished() {
        id += 2;
        raw.data(SYN, id, &header().encode()).await;
        raw.settled().await;
    }
    let (arrival, incoming) = within(arrival).await.unwrap().unwrap();
    assert_eq!(arrival.header, header());
    drop(arrival);
    until(|| incoming.open_streams() < 10).await;
}

#[tokio::test]
async fn window_updates_without_end_are_taken_as_they_come() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let _stream = within(session.open(&header())).await.unwrap();
    for _ in 0..20 {
        let flood =
            [frame(WINDOW, 0, 2, 0), frame(WINDOW, 0, CONTROL, 0), frame(WINDOW, 0, 4_000, 7)].concat();
        raw.io.write_all(&flood.repeat(1_000)).await.unwrap();
        raw.settled().await;
    }
    assert!(!session.is_closed());
}

#[tokio::test]
async fn credit_without_end_is_taken_as_it_comes() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let _stream = within(session.open(&header())).await.unwrap();
    let entries =
        [Credit { stream: 2, bytes: 0 }, Credit { stream: 2, bytes: 1 }, Credit { stream: 8, bytes: 1 }];
    let flood = entries.map(Credit::encode).concat().repeat(600);
    for _ in 0..200 {
        raw.data(0, CREDIT, &flood).await;
        raw.settled().await;
    }
    assert!(!session.is_closed());
}
