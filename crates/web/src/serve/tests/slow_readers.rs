//! HTTP/2 streams that are read slowly.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tower::service_fn;

use super::close_to;
use super::frames::{SETTINGS, frame, get, next_frame};
use super::http2::serve;
use super::pieces::Pieces;
use crate::limits::{H2_PIECE_BYTES, WRITE_STALL};
use crate::service::{HttpService, boxed};

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
/// `SETTINGS_INITIAL_WINDOW_SIZE` of 0 (RFC 9113 section 6.5.2).
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];

/// A body without end, in pieces of this size.
fn endless(piece_bytes: usize) -> HttpService {
    boxed(service_fn(move |_: Request<Incoming>| async move {
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move { while send.send(Bytes::from(vec![1; piece_bytes])).await.is_ok() {} });
        Ok::<_, Infallible>(Response::new(Pieces::of(receive).boxed_unsync()))
    }))
}

/// Takes `taken_bytes` every `pause`, up to `whole_bytes`; then nothing. When the stream was reset, and how much had come.
async fn read_slowly(
    piece_bytes: usize,
    taken_bytes: u32,
    pause: Duration,
    whole_bytes: usize,
) -> (Duration, usize) {
    let (mut io, _served) = serve(endless(piece_bytes));
    io.write_all(super::frames::PREFACE).await.unwrap();
    io.write_all(&frame(SETTINGS, 0, 0, NO_WINDOW)).await.unwrap();
    io.write_all(&get(1)).await.unwrap();
    let (mut bytes, mut last, begun) = (0, Instant::now(), Instant::now());
    let mut next_window = begun;
    loop {
        if bytes < whole_bytes && Instant::now() >= next_window {
            next_window += pause;
            for stream in [0, 1] {
                io.write_all(&frame(WINDOW_UPDATE, 0, stream, &taken_bytes.to_be_bytes())).await.unwrap();
            }
        }
        // A frame is in the pipe as a whole, so that none is cut in two here.
        let wait = if bytes < whole_bytes { pause } else { Duration::from_hours(1) };
        let Ok((kind, stream, body)) = timeout(wait, next_frame(&mut io)).await else { continue };
        match (kind, stream) {
            (DATA, 1) => {
                bytes += body.len();
                last = Instant::now();
            }
            (RST_STREAM, 1) => return (last.elapsed(), bytes),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_goes_on_whatever_the_pieces() {
    for piece_bytes in
        [1, H2_PIECE_BYTES - 1, H2_PIECE_BYTES, H2_PIECE_BYTES + 1, 4 * H2_PIECE_BYTES, 1 << 20]
    {
        let whole_bytes = if piece_bytes == 1 { 1024 } else { 10 * H2_PIECE_BYTES };
        // 0.5 KiB/s
        let (silent, bytes) = read_slowly(piece_bytes, 1024, Duration::from_secs(2), whole_bytes).await;
        assert!(bytes >= whole_bytes, "{piece_bytes}: reset after {bytes}");
        // The piece that it stopped in was handed over at most so long before.
        assert!(silent <= WRITE_STALL + Duration::from_secs(1), "{piece_bytes}: {silent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_is_reset() {
    let (silent, bytes) = read_slowly(4 * H2_PIECE_BYTES, 1024, Duration::from_secs(2), 0).await;
    assert_eq!(bytes, 0);
    assert!(close_to(silent, WRITE_STALL), "{silent:?}");
}
