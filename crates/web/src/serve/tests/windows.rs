//! What an HTTP/2 visitor may send before anybody has read it, in raw frames.

use std::convert::Infallible;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tower::service_fn;

use super::frames::{SETTINGS, frame, next_frame, open, until_frame};
use super::http2::serve;
use crate::limits::{H2_CONNECTION_WINDOW_BYTES, H2_FRAME_BYTES_MAX, H2_STREAM_WINDOW_BYTES};
use crate::service::{HttpService, boxed};

/// A POST whose body goes on (RFC 7541 appendix A).
const POST: &[u8] = b"\x83\x87\x84\x41\x09a.example";

/// RFC 9113 section 7.
const FLOW_CONTROL_ERROR: u8 = 3;
const FRAME_SIZE_ERROR: u8 = 6;

/// Holds every request, and reads nothing of it.
fn deaf() -> HttpService {
    boxed(service_fn(|request: Request<Incoming>| async move {
        std::future::pending::<()>().await;
        drop(request);
        Ok::<_, Infallible>(Response::new(crate::body::empty()))
    }))
}

/// A request with so many bytes, in frames that are as large as may be.
fn post(stream: u32, bytes: u32) -> Vec<u8> {
    let body = vec![b'a'; bytes as usize];
    let pieces = body.chunks(H2_FRAME_BYTES_MAX as usize).flat_map(|piece| frame(0, 0, stream, piece));
    frame(1, 0x4, stream, POST).into_iter().chain(pieces).collect()
}

/// The fault that the server finds in these bytes, if it finds one.
async fn fault(bytes: &[u8]) -> Option<u8> {
    let (mut io, _served) = serve(deaf());
    open(&mut io).await;
    until_frame(&mut io, SETTINGS, 0).await;
    // What it has said is in force from its acknowledgement on.
    io.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
    // It may close before it has read all.
    let _ = io.write_all(bytes).await;
    let _ = io.write_all(&frame(6, 0, 0, &[1; 8])).await;
    loop {
        match next_frame(&mut io).await {
            (3, _, body) => return body.last().copied(),
            (7, _, body) => return body.get(7).copied(),
            // An answer to a PING goes before all else: what was found before it comes before the answer to the next.
            (6, _, body) if body == [1; 8] => io.write_all(&frame(6, 0, 0, &[2; 8])).await.unwrap(),
            (6, ..) => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_stream_holds_so_many_bytes_that_nobody_reads() {
    for (bytes, found) in [(-1, None), (0, None), (1, Some(FLOW_CONTROL_ERROR))] {
        let bytes = H2_STREAM_WINDOW_BYTES.checked_add_signed(bytes).unwrap();
        assert_eq!(fault(&post(1, bytes)).await, found, "{bytes}");
    }
}

#[tokio::test]
async fn a_connection_holds_so_many_bytes_that_nobody_reads() {
    let streams = H2_CONNECTION_WINDOW_BYTES / H2_STREAM_WINDOW_BYTES;
    for (bytes, found) in [(-1, None), (0, None), (1, Some(FLOW_CONTROL_ERROR))] {
        let all: Vec<u8> = (0..streams - 1).flat_map(|n| post(2 * n + 1, H2_STREAM_WINDOW_BYTES)).collect();
        // The rest in two, each of which fits its stream.
        let rest = H2_CONNECTION_WINDOW_BYTES - (streams - 1) * H2_STREAM_WINDOW_BYTES;
        let last = (rest / 2).checked_add_signed(bytes).unwrap();
        let two = [post(2 * streams + 1, rest - rest / 2), post(2 * streams + 3, last)].concat();
        assert_eq!(fault(&[all, two].concat()).await, found, "{bytes}");
    }
}

#[tokio::test]
async fn a_frame_has_so_many_bytes() {
    for (bytes, found) in [(-1, None), (0, None), (1, Some(FRAME_SIZE_ERROR))] {
        let bytes = H2_FRAME_BYTES_MAX.checked_add_signed(bytes).unwrap();
        let body = frame(0, 0, 1, &vec![b'a'; bytes as usize]);
        assert_eq!(fault(&[frame(1, 0x4, 1, POST), body].concat()).await, found, "{bytes}");
    }
}
