//! Our answer in place of hyper's refusal, and of nothing else.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tower::service_fn;

use super::Visitor;
use super::pieces::Pieces;
use crate::body;
use crate::service::boxed;

/// What hyper would write by itself.
const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_body_that_looks_like_a_refusal_passes() {
    let (send, receive) = mpsc::channel(1);
    let mut bodies = Some(Pieces::of_length(REFUSAL.len(), receive));
    let bodies = std::sync::Arc::new(std::sync::Mutex::new(move || bodies.take()));
    let service = boxed(service_fn(move |_: Request<Incoming>| {
        let body = (bodies.lock().unwrap())().map_or_else(|| body::full("second"), BodyExt::boxed_unsync);
        async move { Ok::<_, Infallible>(Response::new(body)) }
    }));
    let mut visitor = Visitor::of_http1(service);
    visitor.send("GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    visitor.send("GET /b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    visitor.until("\r\n\r\n").await;
    // The last piece alone, in one write.
    send.send(Bytes::from_static(REFUSAL.as_bytes())).await.unwrap();
    assert_eq!(visitor.until(REFUSAL).await, REFUSAL);
    let second = visitor.rest().await;
    assert!(second.starts_with("HTTP/1.1 200 OK\r\n") && second.ends_with("second"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn so_do_bytes_of_another_protocol() {
    let service = boxed(service_fn(|mut request: Request<Incoming>| async move {
        let on = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut raw = TokioIo::new(on.await.unwrap());
            raw.write_all(REFUSAL.as_bytes()).await.unwrap();
        });
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert("upgrade", HeaderValue::from_static("shift/1"));
        Ok::<_, Infallible>(response)
    }));
    let mut visitor = Visitor::of_http1(service);
    visitor
        .send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: shift/1\r\n\r\nGET")
        .await;
    let head = visitor.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_eq!(visitor.until("\r\n\r\n").await, REFUSAL);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_after_a_response_is_refused_with_a_code() {
    let mut visitor = Visitor::of_http1(super::echo());
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    visitor.until("|").await;
    let refusal = visitor.once("nonsense\r\n\r\n").await;
    assert!(refusal.starts_with("HTTP/1.1 400") && refusal.contains("adit-error"), "{refusal}");
}
