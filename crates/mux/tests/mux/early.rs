//! Bytes that go out before the agent has said whether it reached its upstream: a bounded number, on both sides.

use adit_mux::{Answer, Arrival, Config, PumpLimits, Stream, StreamError, Traffic, limits, pump};
use adit_wire::{
    limits::EARLY_BYTES_MAX,
    record::{AbortCode, RECORD_HEADER_LEN, RecordHeader, RecordKind, abort},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::{
    kit::{header, within},
    raw::{ACK, DATA, PING, RST, Raw, SYN, data_record, dialled, kind},
};

/// Data that arrives on stream 2 until there is so much of it, record headers apart.
async fn data_of_2(raw: &mut Raw, bytes: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < bytes {
        let frame = within(raw.next_of(2)).await;
        if frame.tag == DATA {
            assert_eq!(kind(&frame.body), RecordKind::Data);
            data.extend(&frame.body[RECORD_HEADER_LEN..]);
        }
    }
    data
}

/// Answered by the driver after everything that was sent before it.
async fn settled(raw: &mut Raw) {
    raw.send(PING, SYN, 0, 7, b"").await;
    while within(raw.next()).await.unwrap().tag != PING {}
}

/// A stream that a server has opened, whose header the raw agent has read.
async fn opened() -> (Raw, Stream) {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let stream = within(session.open(&header())).await.unwrap();
    assert_eq!(within(raw.next_of(2)).await.body, header().encode());
    (raw, stream)
}

#[tokio::test]
async fn an_opener_writes_so_much_and_then_waits() {
    for bytes in [EARLY_BYTES_MAX - 1, EARLY_BYTES_MAX, EARLY_BYTES_MAX + 1] {
        let (mut raw, mut stream) = opened().await;
        let writer = tokio::spawn(async move {
            stream.write_all(&vec![7; bytes]).await.unwrap();
            stream.flush().await.unwrap();
            stream
        });
        let early = bytes.min(EARLY_BYTES_MAX);
        assert_eq!(data_of_2(&mut raw, early).await.len(), early);
        settled(&mut raw).await;
        if bytes > EARLY_BYTES_MAX {
            assert!(!writer.is_finished(), "it waits for the answer");
            raw.data(ACK, 2, &dialled()).await;
            assert_eq!(data_of_2(&mut raw, 1).await, [7]);
        }
        within(writer).await.unwrap();
    }
}

#[tokio::test]
async fn a_pump_waits_too() {
    let (mut raw, stream) = opened().await;
    let (mut visitor, mut socket) = duplex(1 << 20);
    visitor.write_all(&vec![7; EARLY_BYTES_MAX + 5]).await.unwrap();
    let pumping =
        tokio::spawn(
            async move { pump(stream, &mut socket, PumpLimits::of_server(), &Traffic::default()).await },
        );
    assert_eq!(data_of_2(&mut raw, EARLY_BYTES_MAX).await.len(), EARLY_BYTES_MAX);
    settled(&mut raw).await;
    raw.data(ACK, 2, &dialled()).await;
    assert_eq!(data_of_2(&mut raw, 5).await, [7; 5]);
    pumping.abort();
}

#[tokio::test]
async fn nothing_is_bounded_after_the_answer() {
    let (mut raw, mut stream) = opened().await;
    raw.data(ACK, 2, &dialled()).await;
    raw.credit(2, 1 << 20).await;
    assert_eq!(within(stream.answer()).await, Ok(Answer::Dialled));
    stream.write_all(&vec![7; 2 * EARLY_BYTES_MAX]).await.unwrap();
    assert_eq!(data_of_2(&mut raw, 2 * EARLY_BYTES_MAX).await.len(), 2 * EARLY_BYTES_MAX);
}

#[tokio::test]
async fn a_writer_hears_the_answer_of_an_agent_that_has_let_go() {
    for (record, answer) in
        [(RecordHeader::REFUSED, Answer::Refused), (RecordHeader::TIMED_OUT, Answer::TimedOut)]
    {
        for early in [5, EARLY_BYTES_MAX] {
            let (mut raw, mut stream) = opened().await;
            within(stream.write_all(&vec![7; early])).await.unwrap();
            assert_eq!(stream.answered(), None);
            raw.data(ACK, 2, &[RecordHeader::ACCEPTED.encode(), record.encode()].concat()).await;
            raw.data(RST, 2, b"").await;
            settled(&mut raw).await;
            let error = within(stream.write_all(b"more")).await.unwrap_err();
            assert_eq!(StreamError::of(&error), Some(StreamError::NotReached(answer)), "{early}");
            assert_eq!(stream.answered(), Some(answer));
        }
    }
    let (mut raw, mut stream) = opened().await;
    raw.data(ACK, 2, &abort(AbortCode::NotBound)).await;
    raw.data(RST, 2, b"").await;
    settled(&mut raw).await;
    let error = within(stream.write_all(b"more")).await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::Aborted(AbortCode::NotBound)));
}

/// A stream on which a raw server has sent so much data before the agent's answer, in records of `record` bytes.
async fn arrived(bytes: usize, record: usize) -> (Raw, Stream) {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    raw.data(SYN, 2, &header().encode()).await;
    let records: Vec<u8> = vec![7; bytes].chunks(record).flat_map(data_record).collect();
    for part in records.chunks(limits::FRAME_BODY_BYTES_TAKEN_MAX) {
        raw.data(0, 2, part).await;
    }
    let Arrival { stream, .. } = within(incoming.next()).await.unwrap();
    settled(&mut raw).await;
    tokio::spawn(async move { while incoming.next().await.is_some() {} });
    (raw, stream)
}

#[tokio::test]
async fn an_agent_takes_so_much_before_its_answer() {
    for bytes in [0, EARLY_BYTES_MAX - 1, EARLY_BYTES_MAX] {
        for record in [1_000, limits::RECORD_DATA_BYTES_ALONE] {
            let (mut raw, mut stream) = arrived(bytes, record).await;
            stream.send_answer(Answer::Dialled).await.unwrap();
            raw.data(0, 2, &data_record(&vec![8; 10_000])).await;
            raw.data(0, 2, &RecordHeader::END.encode()).await;
            let mut read = Vec::new();
            within(stream.read_to_end(&mut read)).await.unwrap();
            assert_eq!(read, [vec![7; bytes], vec![8; 10_000]].concat());
        }
    }
}

#[tokio::test]
async fn an_agent_gives_up_a_stream_with_more_and_connects_it_to_nothing() {
    for record in [1_000, limits::RECORD_DATA_BYTES_ALONE] {
        let (mut raw, mut stream) = arrived(EARLY_BYTES_MAX + 1, record).await;
        assert_eq!(stream.send_answer(Answer::Dialled).await, Err(StreamError::TooEarly));
        assert_eq!(within(raw.next_of(2)).await.body, abort(AbortCode::Protocol));
        let error = within(stream.read_u8()).await.unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::TooEarly), "nothing of it is passed on");
        drop(stream);
        settled(&mut raw).await;
    }
}

#[tokio::test]
async fn an_early_end_is_an_end_and_an_early_abort_an_abort() {
    let (mut raw, mut stream) = arrived(10, 10).await;
    raw.data(0, 2, &RecordHeader::END.encode()).await;
    settled(&mut raw).await;
    stream.send_answer(Answer::Dialled).await.unwrap();
    let mut read = Vec::new();
    within(stream.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, [7; 10]);

    let (mut raw, mut stream) = arrived(10, 10).await;
    raw.data(0, 2, &abort(AbortCode::VisitorGone)).await;
    settled(&mut raw).await;
    stream.send_answer(Answer::Dialled).await.unwrap();
    let error = within(stream.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::Aborted(AbortCode::VisitorGone)));
}
