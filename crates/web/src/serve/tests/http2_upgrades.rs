//! WebSocket over HTTP/2: how a stream ends on one side is how it ends on the other (RFC 8441 section 5).

use std::convert::Infallible;
use std::io::{self, ErrorKind};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tower::service_fn;

use super::frames::{frame, open};
use super::http2::serve;
use crate::body;
use crate::service::{HttpService, boxed};
use crate::upgrade::{Carried, Tie};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// CANCEL, RFC 9113 section 7.
const CANCEL: &[u8] = &[0, 0, 0, 8];
/// `:method`, `:protocol`, `:scheme`, `:path` and `:authority` (RFC 7541 appendix A, literals for what it does not hold).
const CONNECT: &[u8] = b"\x02\x07CONNECT\x00\x09:protocol\x09websocket\x87\x84\x41\x09a.example";

type Half = Carried<TokioIo<Upgraded>>;

/// Hands out the user's half of each stream that was changed.
fn changing() -> (HttpService, mpsc::Receiver<Half>) {
    let (give, given) = mpsc::channel(1);
    let service = boxed(service_fn(move |mut request: Request<Incoming>| {
        let give = give.clone();
        async move {
            let tie = request.extensions_mut().remove::<Tie>();
            assert!(tie.is_some());
            let on = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let half = Carried::new(TokioIo::new(on.await.unwrap()), tie);
                let _ = give.send(half).await;
            });
            Ok::<_, Infallible>(Response::new(body::empty()))
        }
    }));
    (service, given)
}

async fn changed() -> (DuplexStream, Half) {
    let (service, mut given) = changing();
    let (mut io, _served) = serve(service);
    open(&mut io).await;
    io.write_all(&frame(HEADERS, END_HEADERS, 1, CONNECT)).await.unwrap();
    (io, given.recv().await.unwrap())
}

/// What the stream brought, and the frame that ended it.
async fn end_of_stream(io: &mut DuplexStream) -> (String, (u8, Vec<u8>)) {
    let mut text = String::new();
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; length as usize];
        io.read_exact(&mut body).await.unwrap();
        match (head[3], head[8]) {
            (DATA, 1) => {
                text.push_str(std::str::from_utf8(&body).unwrap());
                if head[4] & END_STREAM != 0 {
                    return (text, (DATA, Vec::new()));
                }
            }
            (RST_STREAM, 1) => return (text, (RST_STREAM, body)),
            _ => {}
        }
    }
}

async fn read_to_end(half: &mut Half) -> (String, io::Result<usize>) {
    let mut bytes = Vec::new();
    let read = half.read_to_end(&mut bytes).await;
    (String::from_utf8(bytes).unwrap(), read)
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_a_reset_after_what_was_written() {
    // Whoever is polled first: the work or the one who drops.
    for yields in 0..8 {
        let (mut io, mut half) = changed().await;
        half.write_all(b"partial").await.unwrap();
        half.flush().await.unwrap();
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        drop(half);
        let (text, end) = end_of_stream(&mut io).await;
        assert_eq!(end, (RST_STREAM, CANCEL.to_vec()), "{yields}");
        assert!("partial".starts_with(&text), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_never_an_end_on_two_threads() {
    for _ in 0..200 {
        let (mut io, mut half) = changed().await;
        half.write_all(b"partial").await.unwrap();
        drop(half);
        let (_, end) = end_of_stream(&mut io).await;
        assert_eq!(end, (RST_STREAM, CANCEL.to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_an_end_both_ways() {
    let (mut io, mut half) = changed().await;
    io.write_all(&frame(DATA, END_STREAM, 1, b"whole")).await.unwrap();
    let (text, read) = read_to_end(&mut half).await;
    assert_eq!((text.as_str(), read.unwrap()), ("whole", 5));
    half.write_all(b"all of it").await.unwrap();
    half.shutdown().await.unwrap();
    half.complete();
    assert_eq!(end_of_stream(&mut io).await, ("all of it".to_owned(), (DATA, Vec::new())));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_no_end() {
    for reason in [0_u8, 1, 2, 5, 7, 8] {
        let (mut io, mut half) = changed().await;
        io.write_all(&frame(DATA, 0, 1, b"half a mess")).await.unwrap();
        assert_eq!(half.read_u8().await.unwrap(), b'h');
        io.write_all(&frame(RST_STREAM, 0, 1, &[0, 0, 0, reason])).await.unwrap();
        let (text, read) = read_to_end(&mut half).await;
        assert!("alf a mess".starts_with(&text), "{text}");
        let kind = read.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::ConnectionReset | ErrorKind::Other | ErrorKind::BrokenPipe),
            "{reason}: {kind}"
        );
    }
}
