//! A pump that moves much: several records for one read, several frames for one write.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use adit_mux::{
    Answer, Config, Control, Incoming, PumpEnd, PumpLimits, Stream, StreamError, Traffic,
    limits::{
        FRAME_BODY_BYTES_SENT_MAX, FRAMES_PASSED_ON_MAX, RECORD_DATA_BYTES_ALONE, RECORD_DATA_BYTES_SHARED,
        RECORDS_READ_ALONE,
    },
    pump,
};
use adit_wire::limits::{FRAME_CREDIT_BYTES, INITIAL_CREDIT_BYTES};
use adit_wire::record::{AbortCode, RecordError, RecordHeader, abort};
use adit_wire::stream::STREAM_HEADER_LEN;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, duplex},
    task::{JoinHandle, JoinSet},
};

use crate::{
    kit::{Dice, header, pair, until, within},
    raw::{DATA, Raw, SYN, data_record},
};

const ID: u32 = 2;

/// What the largest frame takes from the credit.
const FULL_FRAME_COST: usize = FRAME_BODY_BYTES_SENT_MAX + FRAME_CREDIT_BYTES;

/// An agent under test with one dialled stream, whose server is the raw peer.
struct Case {
    raw: Raw,
    stream: Stream,
    _incoming: Incoming,
    _control: Control,
}

impl Case {
    async fn start() -> Self {
        let (mut raw, mut incoming, control, driver) = Raw::server_of(&Config::default());
        tokio::spawn(driver.run());
        raw.data(SYN, ID, &header().encode()).await;
        let mut stream = within(incoming.next()).await.unwrap().stream;
        stream.send_answer(Answer::Dialled).await.unwrap();
        raw.settled().await;
        Self { raw, stream, _incoming: incoming, _control: control }
    }
}

fn pumped(
    stream: Stream,
    mut upstream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> JoinHandle<PumpEnd> {
    tokio::spawn(
        async move { pump(stream, &mut upstream, PumpLimits::of_agent(), &Traffic::default()).await },
    )
}

#[tokio::test]
async fn what_one_read_brings_leaves_in_whole_records() {
    let most = RECORDS_READ_ALONE * RECORD_DATA_BYTES_ALONE;
    for bytes in [1, RECORD_DATA_BYTES_ALONE, RECORD_DATA_BYTES_ALONE + 1, most - 1, most, most + 1] {
        let Case { mut raw, stream, .. } = Case::start().await;
        let (upstream, mut service) = duplex(1 << 20);
        let sent = Dice::new(8).bytes(bytes);
        service.write_all(&sent).await.unwrap();
        let _pump = pumped(stream, upstream);
        for data in sent.chunks(RECORD_DATA_BYTES_ALONE) {
            let frame = within(raw.next_of(ID)).await;
            assert!(frame.tag == DATA && frame.body == data_record(data), "{bytes}: {}", frame.body.len());
        }
        raw.settled().await;
    }
}

/// Has more than anybody wants, and notes how much it was asked for.
#[derive(Clone, Default)]
struct Spring(Arc<Mutex<Vec<usize>>>);

impl AsyncRead for Spring {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().push(buf.remaining());
        buf.put_slice(&vec![7; buf.remaining()]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Spring {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn as_much_is_read_as_there_is_credit_for() {
    let Case { mut raw, stream, .. } = Case::start().await;
    let spring = Spring::default();
    let _pump = pumped(stream, spring.clone());
    raw.settled().await;
    let record = RECORD_DATA_BYTES_ALONE;
    let asked = || std::mem::take(&mut *spring.0.lock().unwrap());
    // There is credit for four frames at first. Of each read but the last all leaves; that one waits, a record.
    assert_eq!(asked(), [record, 3 * record, record]);
    for (frames, expected) in [(2, [record, record]), (5, [RECORDS_READ_ALONE * record, record])] {
        raw.credit(ID, u32::try_from(frames * FULL_FRAME_COST).unwrap()).await;
        raw.settled().await;
        assert_eq!(asked(), expected, "{frames} frames");
    }
}

#[tokio::test]
async fn little_is_read_after_little_came() {
    let Case { mut raw, stream, .. } = Case::start().await;
    let (upstream, mut service) = duplex(1 << 20);
    let _pump = pumped(stream, upstream);
    for _ in 0..3 {
        service.write_all(b"little").await.unwrap();
        assert_eq!(within(raw.next_of(ID)).await.body, data_record(b"little"));
    }
}

/// Takes what it is given once it may, at most so much at a time, and notes how many pieces there were.
#[derive(Clone)]
struct Shelf(Arc<Mutex<Shelved>>);

struct Shelved {
    bytes: Vec<u8>,
    pieces: Vec<usize>,
    sizes: Dice,
    bytes_max: usize,
    is_open: bool,
    writer: Option<Waker>,
}

impl Shelf {
    fn new(bytes_max: usize) -> Self {
        let (bytes, pieces, sizes) = (Vec::new(), Vec::new(), Dice::new(2));
        Self(Arc::new(Mutex::new(Shelved { bytes, pieces, sizes, bytes_max, is_open: false, writer: None })))
    }

    fn open(&self) {
        let mut held = self.0.lock().unwrap();
        held.is_open = true;
        held.writer.take().unwrap().wake();
    }

    fn close(&self) {
        let mut held = self.0.lock().unwrap();
        (held.is_open, held.writer) = (false, None);
    }

    fn is_waited_for(&self) -> bool {
        self.0.lock().unwrap().writer.is_some()
    }

    fn bytes(&self) -> usize {
        self.0.lock().unwrap().bytes.len()
    }
}

impl AsyncRead for Shelf {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Shelf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let held = &mut *self.0.lock().unwrap();
        if !held.is_open {
            held.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        held.pieces.push(pieces.len());
        let before = held.bytes.len();
        let mut left =
            if held.bytes_max == usize::MAX { usize::MAX } else { 1 + held.sizes.below(held.bytes_max) };
        for piece in pieces {
            let taken = &piece[..piece.len().min(left)];
            held.bytes.extend(taken);
            left -= taken.len();
        }
        Poll::Ready(Ok(held.bytes.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn frames_that_have_arrived_are_passed_on_together() {
    for frames in [1, FRAMES_PASSED_ON_MAX - 1, FRAMES_PASSED_ON_MAX, FRAMES_PASSED_ON_MAX + 1] {
        let Case { mut raw, stream, .. } = Case::start().await;
        let sent = Dice::new(9).bytes(frames * RECORD_DATA_BYTES_SHARED);
        for data in sent.chunks(RECORD_DATA_BYTES_SHARED) {
            raw.data(0, ID, &data_record(data)).await;
        }
        raw.settled().await;
        let shelf = Shelf::new(usize::MAX);
        let pump = pumped(stream, shelf.clone());
        until(|| shelf.is_waited_for()).await;
        shelf.open();
        until(|| shelf.bytes() == sent.len()).await;
        let mut pieces = vec![frames.min(FRAMES_PASSED_ON_MAX)];
        pieces.extend((frames > FRAMES_PASSED_ON_MAX).then_some(1));
        assert_eq!(shelf.0.lock().unwrap().pieces, pieces);
        // Nothing of an end was seen though all was looked at.
        assert!(!pump.is_finished());
        assert!(shelf.0.lock().unwrap().bytes == sent);
    }
}

/// What comes behind data that waits for the socket is not heard before it.
#[tokio::test]
async fn what_ends_a_stream_comes_after_the_data_before_it() {
    for (last, expected) in [
        (RecordHeader::END.encode().to_vec(), None),
        (abort(AbortCode::VisitorGone).to_vec(), Some(PumpEnd::Aborted(AbortCode::VisitorGone))),
        (vec![77, 0, 0, 0], Some(PumpEnd::Violation(StreamError::Record(RecordError::Kind(77))))),
    ] {
        let Case { mut raw, stream, .. } = Case::start().await;
        let sent = Dice::new(3).bytes(3 * RECORD_DATA_BYTES_SHARED);
        for data in sent.chunks(RECORD_DATA_BYTES_SHARED) {
            raw.data(0, ID, &data_record(data)).await;
        }
        raw.data(0, ID, &last).await;
        raw.settled().await;
        let shelf = Shelf::new(5_000);
        let pump = pumped(stream, shelf.clone());
        until(|| shelf.is_waited_for()).await;
        assert!(!pump.is_finished(), "{expected:?}");
        shelf.open();
        until(|| shelf.bytes() == sent.len()).await;
        assert!(shelf.0.lock().unwrap().bytes == sent, "{expected:?}");
        match expected {
            Some(end) => assert_eq!(within(pump).await.unwrap(), end),
            None => assert!(!pump.is_finished(), "the other direction is open"),
        }
    }
}

/// Frames need not hold whole records, and a socket need not take whole frames.
#[tokio::test]
async fn records_arrive_however_they_are_cut() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let Case { mut raw, stream, .. } = Case::start().await;
        let (mut sent, mut stream_bytes) = (Vec::new(), Vec::new());
        while sent.len() < 20_000 {
            let largest = if dice.below(2) == 0 { 200 } else { RECORD_DATA_BYTES_ALONE };
            let size = 1 + dice.below(largest);
            let data = dice.bytes(size);
            stream_bytes.extend(data_record(&data));
            sent.extend(data);
        }
        stream_bytes.extend(RecordHeader::END.encode());
        let mut rest = stream_bytes.as_slice();
        while !rest.is_empty() {
            let size =
                if dice.below(2) == 0 { RECORD_DATA_BYTES_SHARED + 4 } else { 900 + dice.below(9_000) };
            let (frame, behind) = rest.split_at(rest.len().min(size));
            raw.data(0, ID, frame).await;
            rest = behind;
        }
        raw.settled().await;
        let shelf = Shelf::new(20_000);
        let _pump = pumped(stream, shelf.clone());
        until(|| shelf.is_waited_for()).await;
        shelf.open();
        until(|| shelf.bytes() >= sent.len()).await;
        assert!(shelf.0.lock().unwrap().bytes == sent, "seed {seed}");
    }
}

/// Frames that were looked at before those in front of them had gone give their credit back once, when they have gone.
#[tokio::test]
async fn what_was_looked_at_ahead_gives_its_credit_back_once() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let Case { mut raw, stream, .. } = Case::start().await;
        let shelf = Shelf::new(30_000);
        let _pump = pumped(stream, shelf.clone());
        let (mut sent, mut cost, mut given) = (0, 0, 0);
        for round in 0..30 {
            shelf.close();
            loop {
                let size = 1 + dice.below(RECORD_DATA_BYTES_SHARED + 2_000);
                let frame = data_record(&vec![1; size]);
                if cost + frame.len() + FRAME_CREDIT_BYTES > given + INITIAL_CREDIT_BYTES - HEADER_COST {
                    break;
                }
                cost += frame.len() + FRAME_CREDIT_BYTES;
                sent += size;
                raw.data(0, ID, &frame).await;
            }
            given += within(raw.given(ID)).await;
            until(|| shelf.is_waited_for()).await;
            shelf.open();
            until(|| shelf.bytes() == sent).await;
            // A little is kept until it is worth a frame.
            while cost > given + INITIAL_CREDIT_BYTES / 4 {
                given += within(raw.given(ID)).await;
            }
            assert!(given <= cost + HEADER_COST, "seed {seed}, round {round}: {given} for {cost}");
        }
    }
}

/// What the frame with the stream's header takes.
const HEADER_COST: usize = STREAM_HEADER_LEN + FRAME_CREDIT_BYTES;

/// Streams are alone and are not, have credit and have none, over a connection that is full at times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pumps_beside_each_other_move_every_byte() {
    let mut pair = pair();
    let mut cases = JoinSet::new();
    for seed in 0..40 {
        let (stream, theirs) = within(pair.stream()).await;
        let (upstream, service) = duplex(100_000);
        cases.spawn(async move {
            let pump = pumped(theirs, upstream);
            let echo = tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(service);
                tokio::io::copy_buf(
                    &mut tokio::io::BufReader::with_capacity(80_000, &mut reader),
                    &mut writer,
                )
                .await
                .unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut dice = Dice::new(seed);
            let size = dice.below(2_000_000);
            let sent = dice.bytes(size);
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut back = Vec::new();
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            tokio::join!(write, async { reader.read_to_end(&mut back).await.unwrap() });
            assert!(back == sent, "seed {seed}: {} of {}", back.len(), sent.len());
            echo.await.unwrap();
            assert_eq!(pump.await.unwrap(), PumpEnd::Complete);
        });
    }
    within(cases.join_all()).await;
}
