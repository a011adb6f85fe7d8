#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod ends;
mod floods;

use std::io::{ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::{SendError, Sender, handshake, send};
use crate::body;
use crate::limits::{ClientLimits, HEAD_BYTES_MAX, HEADERS_MAX, INFORMATIONAL_MAX};

async fn connected() -> (Sender, DuplexStream) {
    let (ours, upstream) = duplex(256 * 1024);
    let mut sender = handshake(ours, ClientLimits::default()).await.unwrap();
    tokio::spawn(sender.detach().unwrap());
    (sender, upstream)
}

fn get() -> Request<body::Body> {
    Request::get("/").header("host", "a.example").body(body::empty()).unwrap()
}

/// Sends a GET to an upstream that answers with these bytes and then hangs up. The body needs the sender.
async fn answered(bytes: &str) -> Result<(Response<Incoming>, Sender), SendError> {
    let (mut sender, mut upstream) = connected().await;
    let bytes = bytes.as_bytes().to_vec();
    tokio::spawn(async move {
        let mut request = [0; 1024];
        let _ = upstream.read(&mut request).await;
        let _ = upstream.write_all(&bytes).await;
    });
    let response = send(&mut sender, get(), ClientLimits::default()).await?;
    Ok((response, sender))
}

fn of_bytes(bytes: usize) -> String {
    let frame = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pad: \r\n\r\n".len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pad: {}\r\n\r\n", "x".repeat(bytes - frame))
}

#[tokio::test]
async fn response_heads_at_their_bounds() {
    for (bytes, good) in [(HEAD_BYTES_MAX - 1, true), (HEAD_BYTES_MAX, true), (HEAD_BYTES_MAX + 1, false)] {
        assert_eq!(answered(&of_bytes(bytes)).await.is_ok(), good, "{bytes} bytes");
    }
    for (fields, good) in [(HEADERS_MAX - 1, true), (HEADERS_MAX, true), (HEADERS_MAX + 1, false)] {
        let head = format!("HTTP/1.1 204 No Content\r\n{}\r\n", "X-A: 1\r\n".repeat(fields));
        assert_eq!(answered(&head).await.is_ok(), good, "{fields} fields");
    }
}

#[tokio::test]
async fn interim_responses_at_their_bound() {
    let max = INFORMATIONAL_MAX as usize;
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (count, good) in [(max - 1, true), (max, true), (max + 1, false)] {
        let text = format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", interim.repeat(count));
        match answered(&text).await {
            Ok((response, _sender)) => {
                assert!(good, "{count} passed");
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
            }
            Err(error) => assert!(matches!(error, SendError::Informational) && !good, "{count}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    for text in [
        "",
        "HTTP/1.1 200",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
    ] {
        assert!(matches!(answered(text).await, Err(SendError::Http(_))), "{text:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let (response, _sender) = answered(text).await.unwrap();
        let body = body::from_upstream(response.into_body(), Version::HTTP_11);
        let error = body.collect().await.unwrap_err();
        assert!(matches!(error, body::BodyError::Upstream(_)), "{text:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_request_that_was_not_sent_comes_back() {
    let (mut sender, upstream) = connected().await;
    drop(upstream);
    while !sender.has_ended() {
        tokio::task::yield_now().await;
    }
    match send(&mut sender, get(), ClientLimits::default()).await {
        Err(SendError::Unsent(request, _)) => assert_eq!(request.uri(), "/"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (mut sender, mut upstream) = connected().await;
    for round in 0..3 {
        let exchange = send(&mut sender, get(), ClientLimits::default());
        let serve = async {
            let mut request = [0; 1024];
            assert!(upstream.read(&mut request).await.unwrap() > 0);
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{round}");
            upstream.write_all(response.as_bytes()).await.unwrap();
        };
        let (response, ()) = tokio::join!(exchange, serve);
        let bytes = response.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, round.to_string());
        sender.ready().await.unwrap();
    }
}

/// Answers and lets go while the request is still being written: the write fails before the answer is looked at.
struct LetsGo {
    answer: &'static [u8],
    has_failed: bool,
}

impl AsyncRead for LetsGo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        if !self.has_failed {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        buf.put_slice(std::mem::take(&mut self.answer));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LetsGo {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<IoResult<usize>> {
        self.has_failed = true;
        Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_early_answer_is_read_though_writing_failed_first() {
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    for (answer, expected) in [(&answer[..], Some("no")), (b"", None)] {
        let io = LetsGo { answer, has_failed: false };
        let mut sender = handshake(io, ClientLimits::default()).await.unwrap();
        tokio::spawn(sender.detach().unwrap());
        let request = Request::post("/").header("host", "a.example").body(body::full("upload")).unwrap();
        match (send(&mut sender, request, ClientLimits::default()).await, expected) {
            (Ok(response), Some(body)) => {
                assert_eq!(response.status(), 403);
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
            }
            (Err(SendError::Http(_)), None) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}
