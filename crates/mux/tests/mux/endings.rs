//! Y3: an end, an abort and a cut are three things, whatever FIN and RST say.

use std::io::ErrorKind;

use adit_mux::{Answer, Config, Session, Stream, StreamError};
use adit_wire::limits::{FRAME_CREDIT_BYTES, INITIAL_CREDIT_BYTES};
use adit_wire::record::{AbortCode, RecordError, RecordHeader, RecordKind, abort, abort_code};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use crate::{
    kit::{header, pair, within},
    raw::{ACK, DATA, FIN, RST, Raw, RawFrame, SYN, WINDOW, data_record, dialled, kind},
};

/// What the raw peer sends on an answered stream, as (flags, body).
type Script<'a> = &'a [(u8, &'a [u8])];

struct Case {
    raw: Raw,
    stream: Stream,
    _session: Session,
    _driver: JoinHandle<adit_mux::CloseReason>,
}

async fn opened() -> Case {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    let driver = tokio::spawn(driver.run());
    let stream = within(session.open(&header())).await.unwrap();
    assert_eq!(raw.next_of(2).await.body, header().encode());
    Case { raw, stream, _session: session, _driver: driver }
}

async fn read_after(script: Script<'_>) -> (Vec<u8>, Result<usize, StreamError>) {
    let mut case = opened().await;
    case.raw.data(ACK, 2, &dialled()).await;
    for (flags, body) in script {
        case.raw.data(*flags, 2, body).await;
    }
    let mut read = Vec::new();
    let end = within(case.stream.read_to_end(&mut read)).await;
    (read, end.map_err(|error| StreamError::of(&error).unwrap()))
}

#[tokio::test]
async fn only_an_end_is_an_end() {
    let hello = data_record(b"hello");
    let end = RecordHeader::END.encode();
    let abort = abort(AbortCode::UpstreamBroken);
    let cut = (b"hello".to_vec(), Err(StreamError::Cut));
    let whole = (b"hello".to_vec(), Ok(5));

    assert_eq!(read_after(&[(0, &hello), (0, &end)]).await, whole, "end");
    assert_eq!(read_after(&[(0, &hello), (FIN, &end)]).await, whole, "end with FIN");
    assert_eq!(read_after(&[(0, &hello), (0, &end), (RST, b"")]).await, whole, "end, then RST");
    assert_eq!(read_after(&[(0, &hello), (FIN, b"")]).await, cut, "FIN without end");
    assert_eq!(read_after(&[(0, &hello), (RST, b"")]).await, cut, "RST without end");
    let aborted = (b"hello".to_vec(), Err(StreamError::Aborted(AbortCode::UpstreamBroken)));
    assert_eq!(read_after(&[(0, &hello), (0, &abort)]).await, aborted, "abort");
    assert_eq!(read_after(&[(0, &hello), (RST, &abort)]).await.1, cut.1, "a body under RST does not count");
    assert_eq!(read_after(&[(0, &hello), (0, &abort[..7]), (RST, b"")]).await, cut, "half an abort");
    assert_eq!(read_after(&[(0, &hello[..6]), (FIN, b"")]).await, (b"he".to_vec(), Err(StreamError::Cut)));
    assert_eq!(
        read_after(&[(0, &hello[..3]), (FIN, b"")]).await,
        (vec![], Err(StreamError::Cut)),
        "half a header"
    );
}

#[tokio::test]
async fn records_may_be_cut_anywhere() {
    let bytes =
        [data_record(b"hello"), data_record(b" "), data_record(b"world"), RecordHeader::END.encode().into()];
    let bytes = bytes.concat();
    for size in 1..=bytes.len() {
        let script: Vec<_> = bytes.chunks(size).map(|part| (0, part)).collect();
        assert_eq!(read_after(&script).await, (b"hello world".to_vec(), Ok(11)), "cut by {size}");
    }
}

#[tokio::test]
async fn a_cut_has_the_kind_of_a_broken_connection() {
    let mut case = opened().await;
    case.raw.data(ACK | RST, 2, &[]).await;
    let error = within(case.stream.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = within(case.stream.write_all(b"x")).await.unwrap_err();
    assert_eq!((error.kind(), StreamError::of(&error)), (ErrorKind::ConnectionReset, Some(StreamError::Cut)));
}

#[tokio::test]
async fn what_is_no_record_is_no_end_and_the_peer_is_told() {
    let cases: [(&[u8], StreamError); 5] = [
        (&[9, 0, 0, 0], StreamError::Record(RecordError::Kind(9))),
        (&[1, 1, 1, 0], StreamError::Record(RecordError::Reserved)),
        (&[1, 0, 0, 0], StreamError::Record(RecordError::Length { kind: 1, len: 0 })),
        (&[1, 0, 0xf1, 0x3f], StreamError::Record(RecordError::Length { kind: 1, len: 16_369 })),
        (&[4, 0, 0, 0], StreamError::OutOfPlace(RecordKind::Accepted)),
    ];
    for (bytes, expected) in cases {
        let mut case = opened().await;
        case.raw.data(ACK, 2, &[&dialled(), bytes].concat()).await;
        let error = within(case.stream.read_u8()).await.unwrap_err();
        assert_eq!(StreamError::of(&error), Some(expected));
        assert_eq!(case.raw.next_of(2).await.body, abort(AbortCode::Protocol));
    }
}

#[tokio::test]
async fn nothing_comes_before_the_answer() {
    for first in [data_record(b"x"), RecordHeader::END.encode().into(), RecordHeader::DIALLED.encode().into()]
    {
        let mut case = opened().await;
        case.raw.data(ACK, 2, &first).await;
        let answer = within(case.stream.answer()).await;
        assert_eq!(answer, Err(StreamError::OutOfPlace(kind(&first))));
    }
}

#[tokio::test]
async fn answers_are_told_apart_from_cuts() {
    for (record, answer) in
        [(RecordHeader::REFUSED, Answer::Refused), (RecordHeader::TIMED_OUT, Answer::TimedOut)]
    {
        let mut case = opened().await;
        case.raw.data(ACK, 2, &[RecordHeader::ACCEPTED.encode(), record.encode()].concat()).await;
        case.raw.data(RST, 2, b"").await;
        assert_eq!(within(case.stream.answer()).await, Ok(answer));
        assert_eq!(within(case.stream.answer()).await, Ok(answer), "said again");
        let error = within(case.stream.read_u8()).await.unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::NotReached(answer)));
    }
    let mut case = opened().await;
    case.raw.data(ACK, 2, &RecordHeader::ACCEPTED.encode()).await;
    case.raw.data(RST, 2, b"").await;
    assert_eq!(within(case.stream.answer()).await, Err(StreamError::Cut));
}

#[tokio::test]
async fn reading_waits_for_the_answer() {
    let mut case = opened().await;
    let read = tokio::spawn(async move { case.stream.read_u8().await.unwrap() });
    case.raw.data(ACK, 2, &dialled()).await;
    case.raw.data(0, 2, &data_record(b"x")).await;
    assert_eq!(within(read).await.unwrap(), b'x');
}

/// Frames of stream 2 until it is reset, window updates apart.
async fn until_reset(raw: &mut Raw) -> Vec<RawFrame> {
    let (frames, last) = until_gone(raw).await;
    assert_eq!((last.flags & (FIN | RST), last.body), (RST, vec![]));
    frames
}

/// Frames of stream 2 until it is gone, window updates apart, and the frame that says so.
async fn until_gone(raw: &mut Raw) -> (Vec<RawFrame>, RawFrame) {
    let mut frames = Vec::new();
    loop {
        let frame = within(raw.next_of(2)).await;
        if frame.flags & (FIN | RST) != 0 {
            return (frames, frame);
        }
        if frame.tag != WINDOW {
            frames.push(frame);
        }
    }
}

#[tokio::test]
async fn a_half_close_is_a_record_and_no_fin() {
    let mut case = opened().await;
    case.stream.write_all(b"hello").await.unwrap();
    case.stream.shutdown().await.unwrap();
    case.stream.shutdown().await.unwrap();
    assert_eq!(case.stream.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    drop(case.stream);
    let frames = until_reset(&mut case.raw).await;
    assert!(frames.iter().all(|frame| frame.tag == DATA && frame.flags & FIN == 0));
    let bodies: Vec<_> = frames.into_iter().map(|frame| frame.body).collect();
    assert_eq!(bodies, [data_record(b"hello"), RecordHeader::END.encode().into()]);
}

#[tokio::test]
async fn a_dropped_stream_is_reset_unless_it_is_complete() {
    for (has_ended, peer_has_ended) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut case = opened().await;
        case.raw.data(ACK, 2, &dialled()).await;
        if peer_has_ended {
            case.raw.data(0, 2, &RecordHeader::END.encode()).await;
            assert_eq!(within(case.stream.read(&mut [0; 8])).await.unwrap(), 0);
        }
        if has_ended {
            case.stream.shutdown().await.unwrap();
        }
        drop(case.stream);
        let (frames, last) = until_gone(&mut case.raw).await;
        let ends = frames.iter().filter(|frame| kind(&frame.body) == RecordKind::End).count();
        assert_eq!(ends, usize::from(has_ended));
        let is_complete = has_ended && peer_has_ended;
        assert_eq!(last.flags & (FIN | RST), if is_complete { FIN } else { RST });
    }
}

#[tokio::test]
async fn a_drop_in_the_middle_of_a_write_is_a_cut() {
    let mut pair = pair();
    let (mut ours, mut theirs) = pair.stream().await;
    let write = tokio::spawn(async move {
        // More than the window: the write cannot finish, and its task is stopped in the middle.
        let _ = ours.write_all(&vec![7; 1 << 20]).await;
    });
    let mut read = vec![0; 1 << 17];
    within(theirs.read_exact(&mut read)).await.unwrap();
    write.abort();
    let error = within(theirs.read_to_end(&mut read)).await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::Cut));
}

#[tokio::test]
async fn an_abort_arrives_with_its_code_behind_the_data() {
    let mut pair = pair();
    let (mut ours, mut theirs) = pair.stream().await;
    theirs.write_all(b"half").await.unwrap();
    theirs.abort(AbortCode::UpstreamBroken);
    let mut read = Vec::new();
    let error = within(ours.read_to_end(&mut read)).await.unwrap_err();
    assert_eq!((read.as_slice(), error.kind()), (&b"half"[..], ErrorKind::ConnectionReset));
    assert_eq!(StreamError::of(&error), Some(StreamError::Aborted(AbortCode::UpstreamBroken)));
}

#[tokio::test]
async fn an_abort_without_room_is_a_cut() {
    let mut case = opened().await;
    case.raw.data(ACK, 2, &dialled()).await;
    let full = vec![7; 300 << 10];
    let spent = {
        let write = case.stream.write_all(&full);
        tokio::pin!(write);
        let mut spent = header().encode().len() + FRAME_CREDIT_BYTES;
        while spent < INITIAL_CREDIT_BYTES {
            tokio::select! {
                _ = &mut write => break,
                frame = case.raw.next_of(2) => spent += frame.body.len() + FRAME_CREDIT_BYTES,
            }
        }
        spent
    };
    assert_eq!(spent, INITIAL_CREDIT_BYTES, "the credit is used up");
    case.stream.abort(AbortCode::VisitorGone);
    assert_eq!(until_reset(&mut case.raw).await, []);
}

#[tokio::test]
async fn the_code_of_an_abort_travels_as_it_is() {
    for code in [AbortCode::Unspecified, AbortCode::NotBound, AbortCode::Unknown(4711)] {
        let mut case = opened().await;
        case.stream.abort(code);
        let frames = until_reset(&mut case.raw).await;
        assert_eq!(frames.len(), 1);
        assert_eq!(abort_code(frames[0].body[4..].try_into().unwrap()), code);
        case.raw.io.shutdown().await.unwrap();
    }
}

/// However much came before, and of yamux's window is owed: an update of that has nowhere to go any more.
#[tokio::test]
async fn what_was_complete_is_read_after_the_end_of_the_connection() {
    const PIECE: usize = 16_000;
    const LAST: usize = 2;
    for before in 0..24 {
        let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
        let driver = tokio::spawn(driver.run());
        raw.data(SYN, 2, &header().encode()).await;
        let mut stream = within(incoming.next()).await.unwrap().stream;
        stream.send_answer(Answer::Dialled).await.unwrap();
        for _ in 0..before {
            raw.data(0, 2, &data_record(&[1; PIECE])).await;
            within(stream.read_exact(&mut [0; PIECE])).await.unwrap();
        }
        // The credit for what was read is back.
        raw.settled().await;
        for _ in 0..LAST {
            raw.data(0, 2, &data_record(&[2; PIECE])).await;
        }
        raw.data(0, 2, &RecordHeader::END.encode()).await;
        raw.settled().await;
        drop(raw);
        within(driver).await.unwrap();
        let mut read = Vec::new();
        within(stream.read_to_end(&mut read)).await.unwrap();
        assert!(read == vec![2; LAST * PIECE], "{before}: {}", read.len());
    }
}
