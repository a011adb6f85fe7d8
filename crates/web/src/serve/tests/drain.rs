use std::convert::Infallible;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::service_fn;

use super::{HEAD, Visitor, echo};
use crate::body;
use crate::service::boxed;

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_at_once() {
    let mut visitor = Visitor::of_http1(echo());
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    visitor.until("|").await;
    let told = Instant::now();
    visitor.drain.take().unwrap().send(()).unwrap();
    assert_eq!(visitor.rest().await, "");
    visitor.served.await.unwrap().unwrap();
    assert_eq!(told.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_closes_at_once() {
    let mut visitor = Visitor::of_http1(echo());
    visitor.drain.take().unwrap().send(()).unwrap();
    visitor.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_request_in_flight_is_finished_and_its_visitor_told() {
    static ENTERED: Notify = Notify::const_new();
    static LEAVE: Notify = Notify::const_new();
    let held = boxed(service_fn(|_: Request<Incoming>| async {
        ENTERED.notify_one();
        LEAVE.notified().await;
        Ok::<_, Infallible>(Response::new(body::full("done|")))
    }));
    let mut visitor = Visitor::of_http1(held);
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    ENTERED.notified().await;
    visitor.drain.take().unwrap().send(()).unwrap();
    tokio::task::yield_now().await;
    LEAVE.notify_one();
    let response = visitor.rest().await;
    assert!(response.contains("connection: close"), "{response}");
    assert!(response.ends_with("done|"), "{response}");
    visitor.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_does_not_hold_the_drain() {
    let mut visitor = Visitor::of_http1(echo());
    visitor.send("GET / HT").await;
    tokio::task::yield_now().await;
    visitor.drain.take().unwrap().send(()).unwrap();
    let told = Instant::now();
    let _ = visitor.served.await.unwrap();
    assert!(told.elapsed() <= HEAD);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_signal_drains_nothing() {
    let mut visitor = Visitor::of_http1(echo());
    visitor.drain = None;
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    visitor.until("|").await;
    assert!(!visitor.served.is_finished());
}
