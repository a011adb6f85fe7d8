use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::{HEAD, IDLE, ServeError, Visitor, close_to, echo, fixed};
use crate::body;
use crate::limits::{ServeLimits, WRITE_STALL};
use crate::service::boxed;

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_ends_at_the_head_deadline() {
    let opened = Instant::now();
    let visitor = Visitor::of_http1(echo());
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::HeadDeadline)));
    assert!(close_to(opened.elapsed(), HEAD), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_ends_at_the_head_deadline() {
    let opened = Instant::now();
    let mut visitor = Visitor::of_http1(echo());
    let trickle = async {
        for byte in "GET / HTTP/1.1\r\nHost: a.example\r\n".bytes().chain(std::iter::repeat(b'a')) {
            if visitor.io.write_u8(byte).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    trickle.await;
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::HeadDeadline)));
    assert!(opened.elapsed() <= HEAD + Duration::from_secs(1), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn empty_lines_before_a_head_do_not_move_its_deadline() {
    let opened = Instant::now();
    let mut visitor = Visitor::of_http1(echo());
    while visitor.io.write_all(b"\r\n").await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::HeadDeadline)));
    assert!(opened.elapsed() <= HEAD + Duration::from_secs(1), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_between_requests_is_closed_after_the_idle_time() {
    let mut visitor = Visitor::of_http1(echo());
    for round in 0..3 {
        visitor.send(&format!("GET /{round} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        visitor.until("|").await;
        sleep(IDLE / 2).await;
    }
    let last = Instant::now() - IDLE / 2;
    assert_eq!(visitor.rest().await, "");
    assert!(close_to(last.elapsed(), IDLE), "{:?}", last.elapsed());
    visitor.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_later_head_that_trickles_has_the_head_deadline_not_the_idle_time() {
    let mut visitor = Visitor::of_http1(echo());
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    visitor.until("|").await;
    sleep(IDLE / 2).await;
    let begun = Instant::now();
    visitor.send("GET /").await;
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::HeadDeadline)));
    assert!(close_to(begun.elapsed(), HEAD), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_outlives_both_times() {
    let slow = boxed(service_fn(|_: Request<Incoming>| async {
        sleep(IDLE * 10).await;
        Ok::<_, Infallible>(Response::new(body::full("late|")))
    }));
    let mut visitor = Visitor::of_http1(slow);
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\nGET /pipelined HT").await;
    assert!(visitor.until("late|").await.starts_with("HTTP/1.1 200"));
    visitor.send("TP/1.1\r\nHost: a.example\r\n\r\n").await;
    visitor.until("late|").await;
}

#[tokio::test(start_paused = true)]
async fn a_visitor_that_takes_no_bytes_is_cut() {
    let large = fixed(|| Response::new(body::full(vec![b'x'; 8 * 1024 * 1024])));
    let mut visitor = Visitor::limited(large, ServeLimits::default());
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let asked = Instant::now();
    let error = visitor.served.await.unwrap().unwrap_err();
    assert!(matches!(&error, ServeError::Http(_)), "{error:?}");
    assert!(close_to(asked.elapsed(), WRITE_STALL), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_visitor_that_takes_bytes_slowly_is_served() {
    use tokio::io::AsyncReadExt;
    let large = fixed(|| Response::new(body::full(vec![b'x'; 1024 * 1024])));
    let mut visitor = Visitor::of_http1(large);
    visitor.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    let (mut total, mut buf) = (0, vec![0; 16 * 1024]);
    loop {
        sleep(WRITE_STALL / 4).await;
        match visitor.io.read(&mut buf).await.unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert!(total > 1024 * 1024);
    visitor.served.await.unwrap().unwrap();
}
