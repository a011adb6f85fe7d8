//! What a broken or hostile peer can do: end its own session, with a reason.

use std::time::Duration;

use adit_mux::{CloseReason, Config, limits};
use adit_wire::control::{ControlError, DrainReason, Frame};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, sleep},
};

use crate::{
    kit::{header, within},
    raw::{ACK, CONTROL, CREDIT, DATA, FIN, GO_AWAY, PING, RST, Raw, SYN, WINDOW, dialled},
};

const MISUSE: CloseReason = CloseReason::Violation("invalid use of yamux");
const TOO_LARGE: CloseReason = CloseReason::Violation("frame body too large");
const NO_FRAME: CloseReason = CloseReason::Violation("invalid yamux frame");
const OVERRUN: CloseReason = CloseReason::Violation("more than the credit of a stream");
const CREDIT_ENDED: CloseReason = CloseReason::Violation("credit stream ended");
const CONTROL_ENDED: CloseReason = CloseReason::Violation("control stream ended");

/// Why a server ends a session on which the agent writes this, and what the agent reads last.
async fn server_after(bytes: &[u8]) -> (CloseReason, Option<(u8, u32)>) {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    let driver = tokio::spawn(driver.run());
    let _stream = within(session.open(&header())).await.unwrap();
    raw.io.write_all(bytes).await.unwrap();
    let reason = within(driver).await.unwrap();
    assert_eq!(session.closed().reason(), Some(reason.clone()));
    let last = raw.rest().await.pop();
    (reason, last.map(|frame| (frame.tag, frame.length)))
}

fn frame(tag: u8, flags: u8, id: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, tag, 0, flags];
    bytes.extend(id.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

#[tokio::test]
async fn an_agent_opens_no_streams_beside_control() {
    let violation = CloseReason::Violation("the agent opened a data stream");
    assert_eq!(server_after(&frame(DATA, SYN, 5, 0)).await.0, violation);
    assert_eq!(server_after(&frame(WINDOW, SYN, 5, 0)).await.0, violation);
}

#[tokio::test]
async fn frames_that_are_none() {
    assert_eq!(server_after(&[1; 12]).await.0, NO_FRAME, "version");
    assert_eq!(server_after(&frame(4, 0, 0, 0)).await.0, NO_FRAME, "type");
    assert_eq!(server_after(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.0, NO_FRAME, "another protocol");
}

#[tokio::test]
async fn a_body_is_bounded_before_it_is_allocated() {
    let most = u32::try_from(limits::FRAME_BODY_BYTES_TAKEN_MAX).unwrap();
    assert_eq!(server_after(&frame(DATA, 0, CONTROL, most + 1)).await.0, TOO_LARGE);
    assert_eq!(server_after(&frame(DATA, 0, 99, u32::MAX)).await.0, TOO_LARGE, "nor for an unknown stream");
    let (mut raw, session, mut control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    for length in [most - 1, most] {
        raw.send(DATA, 0, 99, length, &vec![0; usize::try_from(length).unwrap()]).await;
        raw.control(&Frame::Drain { deadline_ms: length, reason: DrainReason::NodeLeaves }, 0).await;
        assert_eq!(
            within(control.recv()).await,
            Ok(Frame::Drain { deadline_ms: length, reason: DrainReason::NodeLeaves })
        );
    }
    assert!(!session.is_closed());
}

#[tokio::test]
async fn yamux_accuses_and_we_end_it() {
    let cases = [
        ("an id of the other side", frame(DATA, SYN, 8, 0)),
        ("a stream that exists", frame(DATA, SYN, CONTROL, 0)),
        ("a pong without a ping", frame(PING, ACK, 0, 1234)),
        ("too much window", [frame(WINDOW, 0, 2, u32::MAX), frame(WINDOW, 0, 2, u32::MAX)].concat()),
    ];
    for (what, bytes) in cases {
        assert_eq!(server_after(&bytes).await, (MISUSE, Some((GO_AWAY, 1))), "{what}");
    }
}

#[tokio::test]
async fn streams_are_not_overrun() {
    let body = vec![0; limits::FRAME_BODY_BYTES_TAKEN_MAX];
    let mut bytes = Vec::new();
    for _ in 0..2 {
        bytes.extend(frame(DATA, 0, 2, u32::try_from(body.len()).unwrap()));
        bytes.extend(&body);
    }
    assert_eq!(server_after(&bytes).await.0, OVERRUN);
}

#[tokio::test]
async fn a_go_away_ends_the_session() {
    assert_eq!(server_after(&frame(GO_AWAY, 0, 0, 0)).await.0, CloseReason::PeerLeft);
    assert_eq!(server_after(&frame(GO_AWAY, 0, 0, 1)).await.0, CloseReason::PeerRefused(1));
    assert_eq!(server_after(&frame(GO_AWAY, 0, 0, 2)).await.0, CloseReason::PeerRefused(2));
}

#[tokio::test]
async fn the_services_do_not_end_before_the_session() {
    assert_eq!(server_after(&frame(DATA, FIN, CREDIT, 0)).await.0, CREDIT_ENDED);
    assert_eq!(server_after(&frame(DATA, RST, CREDIT, 0)).await.0, CREDIT_ENDED);
    assert_eq!(server_after(&frame(DATA, FIN, CONTROL, 0)).await.0, CONTROL_ENDED);
    assert_eq!(server_after(&frame(DATA, RST, CONTROL, 0)).await.0, CONTROL_ENDED);
}

#[tokio::test]
async fn control_frames_are_valid() {
    let unknown = ControlError::UnknownCritical(200);
    let bytes = [frame(DATA, 0, CONTROL, 4), vec![0, 0, 200, 1]].concat();
    assert_eq!(server_after(&bytes).await.0, CloseReason::ControlInvalid(unknown));
    let bytes = [frame(DATA, 0, CONTROL, 4), vec![0xff, 0xff, 5, 0]].concat();
    assert_eq!(server_after(&bytes).await.0, CloseReason::ControlInvalid(ControlError::TooLong(0xffff)));
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_control_stream_is_not_kept() {
    let (mut raw, session, _control, driver) = Raw::silent_agent_of(&Config::default());
    tokio::spawn(driver.run());
    let start = Instant::now();
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        raw.send(WINDOW, 0, 99, 1, &[]).await;
    }
    assert!(!session.is_closed());
    assert_eq!(
        session.closed().wait().await,
        CloseReason::Violation("no control stream or no credit stream")
    );
    assert_eq!(start.elapsed(), limits::CONTROL_OPEN_DEADLINE);
}

#[tokio::test]
async fn what_a_dropped_stream_still_gets_hurts_nobody() {
    let (mut raw, session, mut control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    drop(within(session.open(&header())).await.unwrap());
    for flags in [ACK, 0, FIN, RST] {
        raw.data(flags, 2, &dialled()).await;
        raw.send(WINDOW, 0, 2, 1, &[]).await;
    }
    raw.control(&Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }, 0).await;
    assert_eq!(
        within(control.recv()).await,
        Ok(Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves })
    );
}

#[tokio::test]
async fn pings_without_reading_stall_only_who_sends_them() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut sent = 0_u64;
    let mut pong = 0;
    // Far more than every queue holds; the window of the control stream is what stops the sender.
    while sent < 20_000 {
        raw.control(&Frame::Ping { nonce: sent }, 0).await;
        sent += 1;
        if sent.is_multiple_of(1_000) {
            raw.send(WINDOW, 0, CONTROL, 12_000, &[]).await;
            while pong < sent - 500 {
                let Frame::Pong { nonce } = within(raw.next_control()).await else { continue };
                assert_eq!(nonce, pong);
                pong += 1;
            }
        }
    }
    assert!(!session.is_closed());
}
