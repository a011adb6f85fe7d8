use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::super::{ServeError, Work, http2};
use super::{HEAD, IDLE, close_to, echo, signal};
use crate::body;
use crate::limits::{H2_PING_DEADLINE, H2_PING_INTERVAL, HEAD_BYTES_MAX, HEADERS_MAX, ServeLimits};
use crate::service::{HttpService, boxed};

pub(super) type Client = SendRequest<Empty<Bytes>>;

pub(super) struct Served {
    drain: oneshot::Sender<()>,
    pub(super) done: JoinHandle<Result<(), ServeError>>,
}

pub(super) fn serve(service: HttpService) -> (DuplexStream, Served) {
    let (io, theirs) = duplex(256 * 1024);
    let (drain, draining) = signal();
    let spawn = |work: Work| drop(tokio::spawn(work));
    let done = tokio::spawn(http2(theirs, service, spawn, ServeLimits::default(), draining));
    (io, Served { drain, done })
}

pub(super) async fn connect(io: DuplexStream) -> Client {
    let (client, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(1024 * 1024)
        .handshake(TokioIo::new(io))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

pub(super) fn request(fields: impl IntoIterator<Item = (&'static str, String)>) -> Request<Empty<Bytes>> {
    let mut builder = Request::get("https://a.example/");
    for (name, value) in fields {
        builder = builder.header(name, value);
    }
    builder.body(Empty::new()).unwrap()
}

pub(super) async fn status(client: &mut Client, request: Request<Empty<Bytes>>) -> Option<StatusCode> {
    client.ready().await.unwrap();
    client.send_request(request).await.ok().map(|response| response.status())
}

#[tokio::test(start_paused = true)]
async fn requests_are_served_side_by_side() {
    let (io, _served) = serve(echo());
    let client = connect(io).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut client = client.clone();
        tasks.spawn(async move {
            let response = client.send_request(request([])).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        });
    }
    while let Some(bytes) = tasks.join_next().await {
        assert_eq!(bytes.unwrap(), "GET https://a.example/ |");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_preface_ends_at_the_head_deadline() {
    for begun in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let opened = Instant::now();
        let (mut io, served) = serve(echo());
        io.write_all(begun).await.unwrap();
        assert!(matches!(served.done.await.unwrap(), Err(ServeError::HeadDeadline)));
        assert!(close_to(opened.elapsed(), HEAD), "{:?}", opened.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_to_go_though_it_answers_pings() {
    let (io, served) = serve(echo());
    let mut client = connect(io).await;
    assert_eq!(status(&mut client, request([])).await, Some(StatusCode::OK));
    let ended = Instant::now();
    served.done.await.unwrap().unwrap();
    assert!(close_to(ended.elapsed(), IDLE), "{:?}", ended.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_found_by_ping() {
    let (mut io, served) = serve(echo());
    let opened = Instant::now();
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    io.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let ended = served.done.await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    assert!(close_to(opened.elapsed(), H2_PING_INTERVAL + H2_PING_DEADLINE), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_is_in_flight() {
    let slow = boxed(service_fn(|_: Request<Incoming>| async {
        sleep(IDLE * 2).await;
        Ok::<_, Infallible>(Response::new(body::full("done")))
    }));
    let (io, served) = serve(slow);
    let mut client = connect(io).await;
    let response = tokio::spawn({
        let mut client = client.clone();
        async move { client.send_request(request([])).await.unwrap().into_body().collect().await.unwrap() }
    });
    sleep(Duration::from_secs(1)).await;
    served.drain.send(()).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&mut client, request([])).await, None, "a new request after GOAWAY");
    assert_eq!(response.await.unwrap().to_bytes(), "done");
    served.done.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn header_fields_at_their_bound() {
    let (io, _served) = serve(echo());
    let mut client = connect(io).await;
    for (fields, wanted) in [(HEADERS_MAX - 1, 200), (HEADERS_MAX, 200), (HEADERS_MAX + 1, 431)] {
        let fields = (0..fields).map(|_| ("x-a", "1".to_owned()));
        let got = status(&mut client, request(fields)).await.unwrap();
        assert_eq!(got.as_u16(), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn header_list_at_its_bound() {
    // RFC 9113 section 6.5.2: 32 bytes of overhead for each field, pseudo-fields included.
    let pseudo: usize = [":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/"]
        .iter()
        .map(|text| text.len())
        .sum();
    let fixed = pseudo + 4 * 32 + "x-pad".len() + 32;
    let (io, _served) = serve(echo());
    let mut client = connect(io).await;
    for (bytes, wanted) in [(HEAD_BYTES_MAX - 1, 200), (HEAD_BYTES_MAX, 200), (HEAD_BYTES_MAX + 1, 431)] {
        let got = status(&mut client, request([("x-pad", "x".repeat(bytes - fixed))])).await;
        assert_eq!(got.map(|status| status.as_u16()), Some(wanted), "{bytes}");
    }
    assert_eq!(status(&mut client, request([])).await, Some(StatusCode::OK), "the connection lives on");
}
