//! Y11: frames tile TLS records, and the connection is written and flushed once per round.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use adit_mux::{CloseReason, Config, Session, Stream, limits, serve};
use adit_wire::credit::Credit;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    task::JoinHandle,
};

use crate::{
    kit::{Dice, header, poll_now, until, within},
    raw::{ACK, CONTROL, CREDIT, DATA, SYN, WINDOW, data_record, dialled},
};

/// An io that takes everything and notes how; what it reads is put into it by the test.
#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    writes: Vec<Vec<u8>>,
    flushes: usize,
    to_read: Vec<u8>,
    reader: Option<std::task::Waker>,
    is_stuck: bool,
    writer: Option<std::task::Waker>,
}

impl Notebook {
    fn feed(&self, tag: u8, flags: u8, id: u32, length: u32, body: &[u8]) {
        let mut notes = self.0.lock().unwrap();
        notes.to_read.extend([0, tag, 0, flags]);
        notes.to_read.extend(id.to_be_bytes());
        notes.to_read.extend(length.to_be_bytes());
        notes.to_read.extend(body);
        if let Some(waker) = notes.reader.take() {
            waker.wake();
        }
    }

    fn set_stuck(&self, is_stuck: bool) {
        let mut notes = self.0.lock().unwrap();
        notes.is_stuck = is_stuck;
        if let Some(waker) = notes.writer.take() {
            waker.wake();
        }
    }

    /// Forgets what was written so far.
    fn turn_page(&self) {
        let mut notes = self.0.lock().unwrap();
        notes.writes.clear();
        notes.flushes = 0;
    }

    fn bytes(&self) -> usize {
        self.0.lock().unwrap().writes.iter().map(Vec::len).sum()
    }

    fn write_sizes(&self) -> Vec<usize> {
        self.0.lock().unwrap().writes.iter().map(Vec::len).collect()
    }

    fn flushes(&self) -> usize {
        self.0.lock().unwrap().flushes
    }

    /// Every frame written, as (id, whole length, body).
    fn frames(&self) -> Vec<(u32, usize, Vec<u8>)> {
        let bytes = self.0.lock().unwrap().writes.concat();
        let mut rest = bytes.as_slice();
        let mut frames = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<12>() {
            let length = u32::from_be_bytes(head[8..].try_into().unwrap());
            let body = if head[1] == DATA { usize::try_from(length).unwrap() } else { 0 };
            frames.push((
                u32::from_be_bytes(head[4..8].try_into().unwrap()),
                12 + body,
                behind[..body].to_vec(),
            ));
            rest = &behind[body..];
        }
        frames
    }
}

impl AsyncRead for Notebook {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut notes = self.0.lock().unwrap();
        if notes.to_read.is_empty() {
            notes.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = notes.to_read.len().min(buf.remaining());
        buf.put_slice(&notes.to_read.drain(..taken).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Notebook {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut notes = self.0.lock().unwrap();
        if notes.is_stuck {
            notes.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        notes.writes.push(buf.to_vec());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Desk {
    io: Notebook,
    session: Session,
    _driver: JoinHandle<CloseReason>,
}

impl Desk {
    fn new() -> Self {
        let io = Notebook::default();
        let (session, _control, driver) = serve(io.clone(), &Config::default());
        io.feed(DATA, SYN, CONTROL, 0, &[]);
        io.feed(DATA, SYN, CREDIT, 0, &[]);
        Self { io, session, _driver: tokio::spawn(driver.run()) }
    }

    /// An answered stream with this much window and more credit; what was written until then is forgotten.
    async fn stream(&self, id: u32, window: u32) -> Stream {
        let mut stream = within(self.session.open(&header())).await.unwrap();
        self.io.feed(DATA, ACK, id, 8, &dialled());
        self.io.feed(WINDOW, 0, id, window, &[]);
        self.io.feed(DATA, 0, CREDIT, 8, &Credit { stream: id, bytes: 64 << 20 }.encode());
        within(stream.answer()).await.unwrap();
        self.settle().await;
        self.io.turn_page();
        stream
    }

    /// Lets the driver do all that it can do.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn frames_of_one_busy_stream_are_whole_tls_records() {
    let desk = Desk::new();
    let mut stream = desk.stream(2, 4 << 20).await;
    let bytes = Dice::new(4).bytes(100 * limits::RECORD_DATA_BYTES_ALONE);
    within(stream.write_all(&bytes)).await.unwrap();
    within(stream.flush()).await.unwrap();
    desk.settle().await;
    assert_eq!(desk.io.bytes(), 100 * limits::TLS_RECORD_BYTES, "{:?}", desk.io.write_sizes());
    let frames = desk.io.frames();
    assert_eq!(frames.len(), 100);
    for (frame, data) in frames.iter().zip(bytes.chunks(limits::RECORD_DATA_BYTES_ALONE)) {
        assert_eq!((frame.0, frame.1), (2, limits::TLS_RECORD_BYTES));
        assert_eq!(frame.2, data_record(data));
    }
    let sizes = desk.io.write_sizes();
    assert!(sizes.iter().all(|size| size % limits::TLS_RECORD_BYTES == 0), "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= limits::COALESCED_BYTES_MAX), "{sizes:?}");
    assert!(sizes.len() <= 60, "{} writes for 100 frames", sizes.len());
    assert!(desk.io.flushes() <= sizes.len());
}

#[tokio::test]
async fn what_gathers_while_the_driver_waits_is_one_write_and_one_flush() {
    let desk = Desk::new();
    let mut streams = Vec::new();
    for index in 1..=20 {
        streams.push(desk.stream(2 * index, 1).await);
    }
    // Nobody yields between these, so the driver finds all of them at once.
    for stream in &mut streams {
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
    }
    until(|| desk.io.flushes() > 0).await;
    desk.settle().await;
    assert_eq!(desk.io.write_sizes(), [20 * (12 + 4 + 5)]);
    assert_eq!(desk.io.flushes(), 1);
    assert!(
        desk.io.frames().iter().all(|frame| frame.2 == data_record(b"hello")),
        "header and data in one frame"
    );
}

#[tokio::test]
async fn an_idle_driver_flushes_nothing() {
    let desk = Desk::new();
    let _stream = desk.stream(2, 1).await;
    for _ in 0..10 {
        desk.io.feed(WINDOW, 0, 2, 1, &[]);
        desk.settle().await;
    }
    assert_eq!((desk.io.write_sizes(), desk.io.flushes()), (vec![], 0));
}

#[tokio::test]
async fn several_busy_streams_take_turns_in_parts_of_a_tls_record() {
    let desk = Desk::new();
    let mut first = desk.stream(2, 4 << 20).await;
    let mut second = desk.stream(4, 4 << 20).await;
    let bytes = vec![7; 40 * limits::RECORD_DATA_BYTES_SHARED];
    let write = |stream: Stream, bytes: Vec<u8>| {
        tokio::spawn(async move {
            let mut stream = stream;
            stream.write_all(&bytes).await.unwrap();
            stream
        })
    };
    // One record each, and both are busy until they flush.
    first.write_all(b"x").await.unwrap();
    second.write_all(b"x").await.unwrap();
    desk.settle().await;
    desk.io.turn_page();
    let (first, second) = (write(first, bytes.clone()), write(second, bytes));
    let (mut first, second_over) = (within(first).await.unwrap(), within(second).await.unwrap());
    let frame_bytes = limits::TLS_RECORD_BYTES / limits::FRAMES_PER_TLS_RECORD_SHARED;
    until(|| desk.io.bytes() == 80 * frame_bytes).await;
    let frames = desk.io.frames();
    assert!(frames.iter().all(|frame| frame.1 == frame_bytes));
    let turns = frames.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    assert!(turns >= 40, "{turns} turns in {} frames", frames.len());

    // Alone again: the other stream goes, and with it what it had under way.
    drop(second_over);
    desk.settle().await;
    desk.io.turn_page();
    first.write_all(&vec![7; limits::RECORD_DATA_BYTES_ALONE]).await.unwrap();
    until(|| desk.io.bytes() >= limits::TLS_RECORD_BYTES).await;
    assert_eq!(desk.io.frames().pop().unwrap().1, limits::TLS_RECORD_BYTES);
}

#[tokio::test]
async fn a_flushed_stream_is_not_busy() {
    let desk = Desk::new();
    let mut quiet = desk.stream(2, 1 << 20).await;
    let mut bulk = desk.stream(4, 1 << 20).await;
    quiet.write_all(b"x").await.unwrap();
    quiet.flush().await.unwrap();
    bulk.write_all(&vec![7; limits::RECORD_DATA_BYTES_ALONE]).await.unwrap();
    desk.settle().await;
    assert!(desk.io.frames().iter().any(|frame| frame.1 == limits::TLS_RECORD_BYTES));
}

#[tokio::test]
async fn parts_written_together_are_one_record() {
    let desk = Desk::new();
    let mut stream = desk.stream(2, 1 << 20).await;
    let parts = [IoSlice::new(b"head "), IoSlice::new(b""), IoSlice::new(b"and body")];
    assert_eq!(stream.write_vectored(&parts).await.unwrap(), 13);
    assert_eq!(stream.write(b"").await.unwrap(), 0);
    let large = vec![1; limits::RECORD_DATA_BYTES_ALONE];
    let taken = stream.write_vectored(&[IoSlice::new(&large), IoSlice::new(b"more")]).await.unwrap();
    assert_eq!(taken, limits::RECORD_DATA_BYTES_ALONE);
    let taken = stream.write_vectored(&[IoSlice::new(&large[1..]), IoSlice::new(b"more")]).await.unwrap();
    assert_eq!(taken, limits::RECORD_DATA_BYTES_ALONE);
    desk.settle().await;
    let bodies: Vec<_> = desk.io.frames().into_iter().map(|frame| frame.2).collect();
    assert_eq!(bodies[0], data_record(b"head and body"));
    assert_eq!(bodies[1], data_record(&large));
    assert_eq!(bodies[2], data_record(&[&large[1..], b"m"].concat()));
}

#[tokio::test]
async fn a_window_that_opens_a_little_at_a_time_loses_nothing() {
    let desk = Desk::new();
    let mut stream = desk.stream(2, 1).await;
    let used = header().encode().len();
    let bytes = Dice::new(6).bytes(600_000);
    let sent = bytes.clone();
    let write = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    });
    let mut dice = Dice::new(3);
    let records = bytes.len().div_ceil(limits::RECORD_DATA_BYTES_ALONE);
    let all = bytes.len() + 4 * records + 4;
    let body_bytes = || desk.io.frames().iter().map(|frame| frame.2.len()).sum::<usize>();
    let mut window = (256 << 10) + 1 - used;
    while body_bytes() < all {
        until(|| body_bytes() >= window.min(all)).await;
        assert_eq!(body_bytes(), window.min(all), "the window holds");
        let more = 1 + dice.below(40_000);
        window += more;
        desk.io.feed(WINDOW, 0, 2, u32::try_from(more).unwrap(), &[]);
    }
    let stream_bytes: Vec<u8> = desk.io.frames().into_iter().flat_map(|frame| frame.2).collect();
    let mut expected: Vec<u8> = bytes.chunks(limits::RECORD_DATA_BYTES_ALONE).flat_map(data_record).collect();
    expected.extend([2, 0, 0, 0]);
    assert!(stream_bytes == expected);
    within(write).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_stuck_holds_a_bounded_number_of_bytes() {
    let desk = Desk::new();
    let mut stream = desk.stream(2, 16 << 20).await;
    desk.io.set_stuck(true);
    let bytes = vec![7; 8 << 20];
    let mut written = 0;
    {
        let write = stream.write_all(&bytes);
        tokio::pin!(write);
        for _ in 0..1_000 {
            assert!(poll_now(&mut write).await.is_pending());
            tokio::task::yield_now().await;
        }
    }
    desk.io.set_stuck(false);
    desk.settle().await;
    while written != desk.io.bytes() {
        written = desk.io.bytes();
        desk.settle().await;
    }
    // The coalescing buffer, yamux's queue of the stream and the record that is staged.
    let most = limits::COALESCED_BYTES_MAX + 16 * limits::TLS_RECORD_BYTES;
    assert!(written > limits::COALESCED_BYTES_MAX && written <= most, "{written}");
}
