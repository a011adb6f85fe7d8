use std::pin::Pin;
use std::task::{Context, Poll};

use adit_web::body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{node, relay, upstream};

async fn connected(until: &'static str, answer: &'static str) -> (SendRequest<body::Body>, super::Sent) {
    let (address, sent) = upstream(until, answer).await;
    let (_, h2) = node(relay(address)).await;
    let io = TcpStream::connect(h2).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    (sender, sent)
}

/// A body of unknown length.
struct Fed(mpsc::Receiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = body::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::BodyError>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[tokio::test]
async fn a_request_arrives_as_http1_and_trailers_return() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n\
                  2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n";
    let (mut sender, mut sent) = connected("\r\n\r\n", answer).await;
    let request = Request::get("http://A.example/a?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(body::empty())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("connection"));
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap().get("grpc-status").unwrap(), "0");
    assert_eq!(collected.to_bytes(), "ok");
    let got = sent.recv().await.unwrap();
    assert!(got.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{got}");
    for line in ["host: A.example\r\n", "cookie: a=1; b=2\r\n", "te: trailers\r\n", "connection: te\r\n"] {
        assert!(got.contains(line), "{got}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_chunked() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (mut sender, mut sent) = connected("\r\n0\r\n\r\n", answer).await;
    let (feed, chunks) = mpsc::channel(2);
    feed.try_send(Bytes::from_static(b"hel")).unwrap();
    feed.try_send(Bytes::from_static(b"lo")).unwrap();
    drop(feed);
    let body = Fed(chunks).boxed_unsync();
    let response = sender.send_request(Request::get("http://a.example/").body(body).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let got = sent.recv().await.unwrap();
    assert!(got.contains("transfer-encoding: chunked"), "{got}");
    assert!(got.ends_with("0\r\n\r\n") && got.contains("hel"), "{got}");
}

#[tokio::test]
async fn a_response_that_is_cut_is_reset() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let (mut sender, _sent) = connected("\r\n\r\n", answer).await;
        let request = Request::get("http://a.example/").body(body::empty()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_host_that_contradicts_is_refused() {
    let (mut sender, mut sent) = connected("\r\n\r\n", "").await;
    let request = Request::get("http://a.example/").header("host", "b.example").body(body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers().get("adit-error").unwrap(), "ADIT-1000");
    assert!(sent.try_recv().is_err());
}
