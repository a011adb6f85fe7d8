//! Y7 and Y8: both sides speak first, and the order in which the driver polls leaves nothing lying.

use adit_mux::limits::HEADER_DEADLINE;
use adit_mux::{Answer, Config, StreamError};
use adit_wire::{
    control::{DrainReason, Frame},
    record::{AbortCode, RecordHeader, abort},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::{
    kit::{header, pair, poll_now, until, within},
    raw::{ACK, CONTROL, DATA, RST, Raw, RawFrame, SYN, data_record, dialled},
};

#[tokio::test]
async fn the_opener_announces_a_stream_without_being_asked_to_write() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    for id in [2, 4, 6] {
        let _stream = within(session.open(&header())).await.unwrap();
        let body = header().encode().to_vec();
        let expected = RawFrame { tag: DATA, flags: SYN, id, length: 64, body };
        assert_eq!(within(raw.next_of(id)).await, expected);
    }
}

#[tokio::test]
async fn the_agent_announces_its_control_stream() {
    let (mut raw, _incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let first = within(raw.next()).await.unwrap();
    assert_eq!((first.tag, first.flags, first.id), (DATA, SYN, CONTROL));
}

#[tokio::test]
async fn the_acceptor_answers_before_anybody_looks_at_the_stream() {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    // More than yamux opens without an answer, and nobody calls `next`, nor is there a header.
    for index in 1..=300 {
        raw.data(SYN, 2 * index, &[]).await;
        let answer = within(raw.next_of(2 * index)).await;
        assert_eq!(
            (answer.tag, answer.flags, answer.body),
            (DATA, ACK, RecordHeader::ACCEPTED.encode().into())
        );
    }
    let bytes = header().encode();
    raw.data(0, 600, &bytes[..10]).await;
    raw.data(0, 600, &bytes[10..]).await;
    assert_eq!(within(incoming.next()).await.unwrap().header, header());
}

#[tokio::test]
async fn silent_streams_block_no_open() {
    let mut pair = pair();
    let mut silent = Vec::new();
    for _ in 0..300 {
        let stream = within(pair.session.open(&header())).await.unwrap();
        silent.push((stream, within(pair.incoming.next()).await.unwrap()));
    }
    let (mut ours, mut theirs) = within(pair.stream()).await;
    theirs.write_all(b"!").await.unwrap();
    assert_eq!(within(ours.read_u8()).await.unwrap(), b'!');
}

#[tokio::test]
async fn an_open_that_waits_does_not_stop_what_arrives() {
    let (mut raw, session, mut control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(within(session.open(&header())).await.unwrap());
    }
    let header = header();
    let mut waiting = Box::pin(session.open(&header));
    assert!(poll_now(&mut waiting).await.is_pending());

    raw.control(&Frame::Drain { deadline_ms: 5, reason: DrainReason::NodeLeaves }, 0).await;
    assert_eq!(
        within(control.recv()).await,
        Ok(Frame::Drain { deadline_ms: 5, reason: DrainReason::NodeLeaves })
    );
    assert!(poll_now(&mut waiting).await.is_pending());

    // The answer to the first one makes room for the one that waits.
    raw.data(ACK, 2, &[dialled(), data_record(b"x")].concat()).await;
    let mut last = within(waiting).await.unwrap();
    assert_eq!(within(streams[0].read_u8()).await.unwrap(), b'x');
    assert_eq!(within(raw.next_of(2 + 2 * 256)).await.flags, SYN);
    raw.data(ACK, 514, &dialled()).await;
    assert_eq!(within(last.answer()).await, Ok(Answer::Dialled));
}

#[tokio::test]
async fn callers_are_served_together_and_in_order() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    let header = header();
    let mut first = Box::pin(session.open(&header));
    let mut gone = Box::pin(session.open(&header));
    let mut second = Box::pin(session.open(&header));
    assert!(poll_now(&mut first).await.is_pending());
    assert!(poll_now(&mut gone).await.is_pending());
    assert!(poll_now(&mut second).await.is_pending());
    drop(gone);
    tokio::spawn(driver.run());
    let mut first = within(first).await.unwrap();
    let mut second = within(second).await.unwrap();
    assert_eq!(session.open_streams(), 2);
    first.write_all(b"1").await.unwrap();
    second.write_all(b"2").await.unwrap();
    let mut bodies = [Vec::new(), Vec::new()];
    while bodies.iter().any(|frames| frames.len() < 2) {
        let frame = within(raw.next()).await.unwrap();
        bodies[usize::from(frame.id == 4)].push(frame.body);
    }
    assert_eq!(bodies[0], [header.encode().to_vec(), data_record(b"1")]);
    assert_eq!(bodies[1], [header.encode().to_vec(), data_record(b"2")]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_header_is_given_up_and_holds_nobody_up() {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let begun = Instant::now();
    raw.data(SYN, 2, &header().encode()[..63]).await;
    raw.data(SYN, 4, &header().encode()).await;
    assert_eq!(incoming.next().await.unwrap().header, header());
    let next = tokio::spawn(async move { incoming.next().await });
    assert_eq!(raw.next_of(2).await.body, RecordHeader::ACCEPTED.encode());
    assert_eq!(raw.next_of(2).await.body, abort(AbortCode::Idle));
    assert_eq!(begun.elapsed().as_millis(), HEADER_DEADLINE.as_millis());
    assert_eq!(raw.next_of(2).await.flags, RST);
    raw.data(SYN, 6, &header().encode()).await;
    assert_eq!(next.await.unwrap().unwrap().header, header());
}

#[tokio::test]
async fn a_header_that_comes_late_wakes_who_waits() {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let next = tokio::spawn(async move { incoming.next().await });
    let bytes = header().encode();
    for (id, part) in [(2, &bytes[..0]), (4, &bytes[..30])] {
        raw.data(SYN, id, part).await;
        assert_eq!(within(raw.next_of(id)).await.flags, ACK);
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    raw.data(0, 4, &bytes[30..]).await;
    assert_eq!(within(next).await.unwrap().unwrap().header, header());
}

#[tokio::test]
async fn a_stream_with_an_invalid_header_is_given_up() {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let mut bytes = header().encode();
    bytes[0] = 99;
    raw.data(SYN, 2, &bytes).await;
    raw.data(SYN, 4, &header().encode()).await;
    assert_eq!(within(incoming.next()).await.unwrap().header, header());
    assert_eq!(within(raw.next_of(2)).await.body, RecordHeader::ACCEPTED.encode());
    assert_eq!(within(raw.next_of(2)).await.body, abort(AbortCode::Protocol));
    until(|| incoming.open_streams() == 0).await;
}

#[tokio::test]
async fn an_agent_answers_once_and_before_it_writes() {
    let mut pair = pair();
    let _opened = within(pair.session.open(&header())).await.unwrap();
    let mut stream = within(pair.incoming.next()).await.unwrap().stream;
    let error = stream.write_all(b"early").await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::NotWritable));
    let error = stream.shutdown().await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::NotWritable));
    assert_eq!(stream.send_answer(Answer::Dialled).await, Ok(()));
    assert_eq!(stream.send_answer(Answer::Dialled).await, Err(StreamError::NotWritable));
    stream.write_all(b"now").await.unwrap();
}

#[tokio::test]
async fn bytes_may_be_sent_before_the_answer() {
    let mut pair = pair();
    let mut ours = within(pair.session.open(&header())).await.unwrap();
    ours.write_all(&vec![5; 64 << 10]).await.unwrap();
    let mut theirs = within(pair.incoming.next()).await.unwrap().stream;
    theirs.send_answer(Answer::Dialled).await.unwrap();
    let mut read = vec![0; 64 << 10];
    within(theirs.read_exact(&mut read)).await.unwrap();
    assert_eq!(within(ours.answer()).await, Ok(Answer::Dialled));
}
