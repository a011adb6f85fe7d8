//! Interim responses: before the final one, whole, and only where they have a place.

use std::convert::Infallible;
use std::time::Duration;

use http::header::LINK;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::sleep;
use tower::service_fn;

use super::{Visitor, signal};
use crate::body;
use crate::interim::Interim;
use crate::limits::ServeLimits;
use crate::serve::http1;
use crate::service::{HttpService, boxed};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";

fn hint(interim: &Interim) {
    let mut headers = HeaderMap::new();
    headers.insert(LINK, HeaderValue::from_static("</style.css>"));
    interim.send(StatusCode::EARLY_HINTS, &headers);
}

/// Sends two hints, the second one just before its answer, which says `pause` of its target and the length of its body;
/// and one more where there is no place for it any more.
fn hinting(pause: Duration) -> HttpService {
    boxed(service_fn(move |request: Request<Incoming>| async move {
        let interim = request.extensions().get::<Interim>().cloned();
        if let Some(interim) = &interim {
            hint(interim);
        }
        sleep(pause).await;
        let (parts, body) = request.into_parts();
        let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
        let mut response = Response::new(body::full(format!("{} {length}", parts.uri)));
        response.headers_mut().insert("date", HeaderValue::from_static("today"));
        if let Some(interim) = interim {
            hint(&interim);
            tokio::spawn(async move { hint(&interim) });
        }
        Ok::<_, Infallible>(response)
    }))
}

/// What a visitor reads up to the close who takes so many bytes at a time; without the ids of requests.
async fn read(service: HttpService, pipe_bytes: usize, request: &str) -> String {
    let (io, theirs) = duplex(pipe_bytes);
    let (_drain, draining) = signal();
    let serving = tokio::spawn(http1(theirs, service, ServeLimits::default(), draining));
    let (mut reading, mut writing) = tokio::io::split(io);
    let mut bytes = Vec::new();
    let (written, whole) =
        tokio::join!(writing.write_all(request.as_bytes()), reading.read_to_end(&mut bytes));
    written.unwrap();
    whole.unwrap();
    serving.await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("adit-request-id: "));
    lines.collect()
}

fn answer(body: &str, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ndate: today\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(start_paused = true)]
async fn they_arrive_while_the_final_response_is_awaited() {
    let mut visitor = Visitor::of_http1(hinting(Duration::from_secs(20)));
    visitor.send("GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    let asked = tokio::time::Instant::now();
    assert_eq!(visitor.until("\r\n\r\n").await, HINT);
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert_eq!(visitor.until("\r\n\r\n").await, HINT);
    assert!(visitor.until("/a 0").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

/// However little the visitor takes at a time, and whether or not it sends its next request at once.
#[tokio::test(start_paused = true)]
async fn they_never_stand_in_the_middle_of_anything() {
    let first = "GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n";
    let second = "POST /b HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\n\r\nabc";
    let third = "GET /c HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
    let expected = [
        HINT,
        HINT,
        &answer("/a 0", ""),
        HINT,
        HINT,
        &answer("/b 3", ""),
        HINT,
        HINT,
        &answer("/c 0", "connection: close\r\n"),
    ]
    .concat();
    for pipe_bytes in (1..80).chain([1000, 100_000]) {
        for pause in [Duration::ZERO, Duration::from_millis(1)] {
            let read = read(hinting(pause), pipe_bytes, &[first, second, third].concat()).await;
            assert_eq!(sorted_fields(&read), sorted_fields(&expected), "{pipe_bytes} {pause:?}");
        }
    }
}

/// The node's own 100 is whole too. Where it is still on its way when the response begins, hints give way.
#[tokio::test(start_paused = true)]
async fn they_go_beside_the_nodes_own() {
    let request = "POST /b HTTP/1.1\r\nhost: a.example\r\nexpect: 100-continue\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
    for pipe_bytes in (1..80).chain([1000, 100_000]) {
        for pause in [Duration::ZERO, Duration::from_millis(1)] {
            let mut read = read(hinting(pause), pipe_bytes, request).await;
            for interim in ["HTTP/1.1 100 Continue\r\n\r\n", HINT] {
                while let Some(at) = read.find(interim) {
                    read.replace_range(at..at + interim.len(), "");
                }
            }
            let expected = answer("/b 3", "connection: close\r\n");
            assert_eq!(sorted_fields(&read), sorted_fields(&expected), "{pipe_bytes} {pause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn to_http_1_0_there_are_none() {
    let read = read(hinting(Duration::ZERO), 100_000, "GET /a HTTP/1.0\r\nhost: a.example\r\n\r\n").await;
    assert!(read.starts_with("HTTP/1.0 200 OK\r\n") && read.ends_with("\r\n\r\n/a 0"), "{read}");
}

/// Heads with their fields in one order: hyper has its own.
fn sorted_fields(text: &str) -> Vec<Vec<&str>> {
    text.split("\r\n\r\n")
        .map(|block| {
            let mut lines: Vec<_> = block.split("\r\n").collect();
            lines.sort_unstable();
            lines
        })
        .collect()
}
