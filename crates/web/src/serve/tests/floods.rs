//! Raw HTTP/2 frames: each flood ends its own connection, and another one is served meanwhile.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};
use tower::service_fn;

use super::super::ServeError;
use super::frames::{GET, PREFACE, SETTINGS, frame, get, next_frame, open, until_frame};
use super::http2::{connect, request, serve, status};
use super::{echo, fixed};
use crate::body::BodyError;
use crate::limits::{
    H2_FAULTY_STREAMS_MAX, H2_PENDING_RESETS_MAX, H2_POINTS_MAX, H2_RESET_POINTS, H2_STREAMS_MAX, WRITE_STALL,
};
use crate::service::{HttpService, boxed};

/// Sends what `next` makes of 0, 1, 2… until the connection takes no more; says how many there were, and what came back.
async fn flood(io: DuplexStream, most: u32, next: impl Fn(u32) -> Vec<u8>) -> (u32, Vec<u8>) {
    let (mut read, mut write) = tokio::io::split(io);
    let drain = tokio::spawn(async move {
        let mut told = Vec::new();
        let _ = read.read_to_end(&mut told).await;
        told
    });
    let mut sent = 0;
    while sent < most && write.write_all(&next(sent)).await.is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    (sent, drain.await.unwrap())
}

/// GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113 section 6.8), up to the last stream that may have been acted on.
const CALM: &[u8] = b"\0\0\x08\x07\0\0\0\0\0";

/// Never answers, and counts how many requests it holds and how many there ever were.
fn counting(now: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>, ever: &Arc<AtomicUsize>) -> HttpService {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (now, most, ever) = (Arc::clone(now), Arc::clone(most), Arc::clone(ever));
    boxed(service_fn(move |_: Request<Incoming>| {
        let held = Held(Arc::clone(&now));
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        ever.fetch_add(1, Ordering::SeqCst);
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok::<_, Infallible>(Response::new(crate::body::empty()))
        }
    }))
}

/// One flood: its name, at most how many frames may be taken, what is sent before it, and its frames.
struct Row(&'static str, u32, fn() -> Vec<u8>, fn(u32) -> Vec<u8>);

fn nothing() -> Vec<u8> {
    Vec::new()
}

fn upload() -> Vec<u8> {
    frame(1, 0x4, 1, b"\x83\x87\x84\x41\x09a.example")
}

/// A head that has begun and does not end.
fn begun() -> Vec<u8> {
    frame(1, 0x1, 1, GET)
}

const ROWS: &[Row] = &[
    Row("PING", 1_100, nothing, |_| frame(6, 0, 0, &[0; 8])),
    Row("SETTINGS", 300, nothing, |_| frame(SETTINGS, 0, 0, &[])),
    Row("SETTINGS with a table", 300, nothing, |n| {
        let size = if n % 2 == 0 { 0_u32 } else { 4096 };
        frame(SETTINGS, 0, 0, &[&[0, 1][..], &size.to_be_bytes()].concat())
    }),
    Row("PRIORITY", 2_100, nothing, |_| frame(2, 0, 3, &[0, 0, 0, 0, 1])),
    Row("unknown frames", 2_100, nothing, |_| frame(0xfa, 0, 0, b"x")),
    Row("WINDOW_UPDATE", 10_500, nothing, |_| frame(8, 0, 0, &[0, 0, 0, 1])),
    Row("WINDOW_UPDATE of nothing", 10, nothing, |_| frame(8, 0, 0, &[0; 4])),
    Row("empty DATA", 1_100, upload, |_| frame(0, 0, 1, &[])),
    Row("padded DATA", 1_100, upload, |_| frame(0, 0x8, 1, &[3, 0, 0, 0])),
    Row("empty CONTINUATION", 300, begun, |_| frame(9, 0, 1, &[])),
    Row("CONTINUATION", 300, begun, |_| frame(9, 0, 1, b"\x00\x01a\x01b")),
    Row("RST_STREAM", 300, nothing, |n| {
        let stream = 2 * n + 1;
        [get(stream), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    }),
    Row("faulty WINDOW_UPDATE", 400, nothing, |n| {
        let stream = 2 * n + 1;
        [get(stream), frame(8, 0, stream, &[0; 4])].concat()
    }),
    Row("faulty PRIORITY", 400, nothing, |n| {
        let stream = 2 * n + 1;
        [get(stream), frame(2, 0, stream, &[&stream.to_be_bytes()[..], &[1]].concat())].concat()
    }),
    Row("DATA after the end", 400, nothing, |n| {
        let stream = 2 * n + 1;
        [get(stream), frame(0, 0, stream, b"x")].concat()
    }),
];

#[tokio::test]
async fn a_flood_ends_its_connection_and_no_other() {
    let (neighbour, _neighbours) = serve(echo());
    let mut neighbour = connect(neighbour).await;
    for Row(name, most, before, next) in ROWS {
        let [now, peak, ever] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let (mut io, served) = serve(counting(&now, &peak, &ever));
        open(&mut io).await;
        io.write_all(&before()).await.unwrap();
        let patience = Duration::from_mins(1);
        let (sent, told) =
            timeout(patience, flood(io, 100_000, next)).await.unwrap_or_else(|_| panic!("{name}"));
        // What was on its way when the connection ended is not counted by anybody.
        let on_the_way = u32::try_from(256 * 1024 / next(0).len()).unwrap();
        assert!(sent <= most + on_the_way, "{name}: {sent}");
        let ended = timeout(patience, served.done).await.unwrap_or_else(|_| panic!("{name}")).unwrap();
        assert!(matches!(ended, Err(ServeError::Flood | ServeError::Http(_))), "{name}: {ended:?}");
        if matches!(ended, Err(ServeError::Flood)) {
            let (rest, goodbye) = told.split_at(told.len() - 17);
            assert!(goodbye.starts_with(CALM) && goodbye.ends_with(&[0, 0, 0, 0xb]), "{name}: {goodbye:?}");
            assert!(!rest.is_empty(), "{name}: SETTINGS come first");
        }
        let held_max = H2_STREAMS_MAX as usize + 1;
        assert!(peak.load(Ordering::SeqCst) <= held_max, "{name}: {peak:?}");
        let begun_max = H2_FAULTY_STREAMS_MAX.max((H2_POINTS_MAX / H2_RESET_POINTS) as usize) + held_max;
        assert!(ever.load(Ordering::SeqCst) <= begun_max, "{name}: {ever:?}");
        let all_gone = async {
            while now.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(patience, all_gone).await.unwrap_or_else(|_| panic!("{name}"));
        assert_eq!(status(&mut neighbour, request([])).await, Some(StatusCode::OK), "{name}");
    }
}

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 8192])))))
    }
}

fn endless() -> HttpService {
    fixed(|| Response::new(Endless.boxed_unsync()))
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_is_reset_and_the_others_go_on() {
    for window in [0_u32, 20_000] {
        let (mut io, served) = serve(endless());
        io.write_all(PREFACE).await.unwrap();
        io.write_all(&frame(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat())).await.unwrap();
        io.write_all(&get(1)).await.unwrap();
        let asked = Instant::now();
        let reset = until_frame(&mut io, 3, 1).await;
        assert_eq!(reset, [0, 0, 0, 8], "CANCEL");
        assert!(asked.elapsed() >= WRITE_STALL, "{:?}", asked.elapsed());
        assert!(asked.elapsed() < WRITE_STALL * 2, "{:?}", asked.elapsed());
        // The connection lives.
        io.write_all(&frame(6, 0, 0, &[7; 8])).await.unwrap();
        assert_eq!(until_frame(&mut io, 6, 0).await, [7; 8]);
        drop(io);
        let _ = served.done.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_takes_something_now_and_then_is_served() {
    let (mut io, _served) = serve(endless());
    io.write_all(PREFACE).await.unwrap();
    io.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.unwrap();
    io.write_all(&get(1)).await.unwrap();
    let mut taken = 0;
    // As far as the connection's own window goes.
    for round in 1..=7 {
        tokio::time::sleep(WRITE_STALL / 2).await;
        io.write_all(&frame(8, 0, 1, &8192_u32.to_be_bytes())).await.unwrap();
        while taken < 8192 * round {
            taken += until_frame(&mut io, 0, 1).await.len();
        }
    }
}

/// All in one piece, so that none is accepted before the last has come.
#[tokio::test]
async fn so_many_streams_may_be_reset_before_they_are_accepted() {
    for (resets, goes_on) in
        [(H2_PENDING_RESETS_MAX - 1, true), (H2_PENDING_RESETS_MAX, true), (H2_PENDING_RESETS_MAX + 1, false)]
    {
        let (mut io, _served) = serve(echo());
        open(&mut io).await;
        let resets = u32::try_from(resets).unwrap();
        let streams = (0..resets).map(|n| 2 * n + 1);
        let flood: Vec<u8> =
            streams.flat_map(|stream| [get(stream), frame(3, 0, stream, &[0, 0, 0, 8])].concat()).collect();
        io.write_all(&flood).await.unwrap();
        let last = 2 * resets + 1;
        let _ = io.write_all(&get(last)).await;
        let goaway = 7;
        let answered = async {
            loop {
                let (kind, stream, body) = next_frame(&mut io).await;
                match (kind, stream) {
                    (1, stream) if stream == last => break true,
                    (kind, _) if kind == goaway => {
                        // ENHANCE_YOUR_CALM (RFC 9113 section 7)
                        assert_eq!(body.get(4..8), Some(&[0, 0, 0, 11][..]));
                        break false;
                    }
                    _ => {}
                }
            }
        };
        assert_eq!(answered.await, goes_on, "{resets}");
    }
}
