//! Visitors who end their side after the request, and visitors who are gone.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::super::{ServeError, http1};
use super::pieces::Pieces;
use super::{Visitor, close_to};
use crate::limits::{HALF_CLOSED_IDLE, ServeLimits};
use crate::service::{HttpService, boxed};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Answers each request with what the test hands out; how the service sees that nobody reads it is the sender's close.
fn handing() -> (HttpService, mpsc::Receiver<mpsc::Sender<Bytes>>) {
    let (give, given) = mpsc::channel(4);
    let service = boxed(service_fn(move |_: Request<Incoming>| {
        let give = give.clone();
        async move {
            let (send, receive) = mpsc::channel(1);
            give.send(send).await.unwrap();
            Ok::<_, Infallible>(Response::new(Pieces::of(receive).boxed_unsync()))
        }
    }));
    (service, given)
}

/// Never answers, and says when it is given up.
fn silent() -> (HttpService, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel(1);
    let service = boxed(service_fn(move |_: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            tell.send(()).await.unwrap();
            let _held = tell;
            std::future::pending::<Result<_, Infallible>>().await
        }
    }));
    (service, told)
}

#[tokio::test(start_paused = true)]
async fn whoever_half_closes_gets_its_whole_answer() {
    let (service, mut given) = handing();
    let mut visitor = Visitor::of_http1(service);
    visitor.send(REQUEST).await;
    visitor.io.shutdown().await.unwrap();
    let send = given.recv().await.unwrap();
    let answering = tokio::spawn(async move {
        for _ in 0..5 {
            sleep(HALF_CLOSED_IDLE.saturating_sub(Duration::from_secs(1))).await;
            send.send(Bytes::from_static(b"piece ")).await.unwrap();
        }
    });
    let text = visitor.rest().await;
    answering.await.unwrap();
    assert_eq!(text.matches("piece ").count(), 5, "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
    visitor.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_after_a_half_close() {
    let mut visitor = Visitor::of_http1(super::echo());
    visitor.send(&REQUEST.repeat(3)).await;
    visitor.io.shutdown().await.unwrap();
    assert_eq!(visitor.rest().await.matches("GET / |").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_visitor_is_not_waited_for_for_ever() {
    let (service, mut told) = silent();
    let mut visitor = Visitor::of_http1(service);
    visitor.send(REQUEST).await;
    told.recv().await.unwrap();
    visitor.io.shutdown().await.unwrap();
    let begun = Instant::now();
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::Gone)));
    assert!(close_to(begun.elapsed(), HALF_CLOSED_IDLE), "{:?}", begun.elapsed());
    assert_eq!(told.recv().await, None, "the request was given up");
}

#[tokio::test(start_paused = true)]
async fn a_visitor_who_is_gone_is_found_by_the_first_write() {
    let (service, mut given) = handing();
    let mut visitor = Visitor::of_http1(service);
    visitor.send(REQUEST).await;
    let send = given.recv().await.unwrap();
    drop(visitor.io);
    sleep(HALF_CLOSED_IDLE / 2).await;
    let begun = Instant::now();
    send.send(Bytes::from_static(b"for nobody")).await.unwrap();
    send.closed().await;
    assert!(visitor.served.await.unwrap().is_err());
    assert!(close_to(begun.elapsed(), Duration::ZERO), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reset_is_found_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut visitor = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (io, _) = listener.accept().await.unwrap();
    let (service, mut told) = silent();
    let served = tokio::spawn(http1(io, service, ServeLimits::default(), std::future::pending()));
    visitor.write_all(REQUEST.as_bytes()).await.unwrap();
    told.recv().await.unwrap();
    let begun = Instant::now();
    visitor.set_zero_linger().unwrap();
    drop(visitor);
    assert!(served.await.unwrap().is_err());
    assert_eq!(told.recv().await, None, "the request was given up");
    assert!(begun.elapsed() < HALF_CLOSED_IDLE, "{:?}", begun.elapsed());
}
