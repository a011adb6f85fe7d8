#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;

use super::{End, Ending, OnEnd};
use crate::body::{self, Body, BodyError};
use crate::limits::ClientLimits;

type Told = Arc<Mutex<Vec<(Ending, u64)>>>;

/// A body of these frames, of unknown length.
struct Frames(VecDeque<Result<Frame<Bytes>, BodyError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn watched<B: http_body::Body>(body: B) -> (OnEnd<B, impl FnOnce(End) + Unpin>, Told) {
    let told = Told::default();
    let tell = Arc::clone(&told);
    let body = OnEnd::new(body, move |end| tell.lock().unwrap().push((end.ending, end.body_bytes)));
    (body, told)
}

fn frames(frames: impl IntoIterator<Item = Result<Frame<Bytes>, BodyError>>) -> Frames {
    Frames(frames.into_iter().collect())
}

fn told(told: &Told) -> Vec<(Ending, u64)> {
    told.lock().unwrap().clone()
}

#[tokio::test]
async fn complete_after_data_and_trailers() {
    let (body, ends) =
        watched(frames([Ok(data("ab")), Ok(data("cde")), Ok(Frame::trailers(HeaderMap::new()))]));
    let collected = body.collect().await.unwrap();
    assert!(collected.trailers().is_some());
    assert_eq!(told(&ends), [(Ending::Complete, 5)]);
}

#[tokio::test]
async fn complete_as_soon_as_the_length_is_reached() {
    let (mut body, ends) = watched(body::full("hello"));
    body.frame().await.unwrap().unwrap();
    assert_eq!(told(&ends), [(Ending::Complete, 5)]);
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(told(&ends).len(), 1);
}

#[tokio::test]
async fn complete_without_a_question_where_there_is_nothing() {
    let (body, ends) = watched(body::empty());
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(told(&ends), [(Ending::Complete, 0)]);
}

#[tokio::test]
async fn failed_once() {
    let (mut body, ends) = watched(frames([Ok(data("ab")), Err(BodyError::Cut)]));
    body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(told(&ends), [(Ending::Failed, 2)]);
}

#[tokio::test]
async fn dropped_before_and_after_the_first_frame() {
    let (body, ends) = watched(frames([Ok(data("ab"))]));
    drop(body);
    assert_eq!(told(&ends), [(Ending::Dropped, 0)]);
    let (mut body, ends) = watched(frames([Ok(data("ab")), Ok(data("cd"))]));
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(told(&ends), [(Ending::Dropped, 2)]);
}

#[test]
fn length_and_end_are_the_bodys_own() {
    let (body, _) = watched(body::full("hello"));
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
}

/// A body that hyper writes to a real connection, by each way in which it states the length.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "test")]
async fn complete_when_hyper_has_written_it() {
    for make in [|| body::full("hello"), || frames([Ok(data("he")), Ok(data("llo"))]).boxed_unsync()] {
        let (ends_tx, mut ends) = tokio::sync::mpsc::channel(2);
        let service = hyper::service::service_fn(move |_: Request<hyper::body::Incoming>| {
            let ends = ends_tx.clone();
            let body: Body = OnEnd::new(make(), move |end| ends.try_send(end).unwrap()).boxed_unsync();
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let (ours, theirs) = tokio::io::duplex(1024);
        let server =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
        let server = tokio::spawn(server);
        let (mut sender, client) = crate::client::handshake(ours, ClientLimits::default()).await.unwrap();
        tokio::spawn(client);
        let request = Request::get("/").header("host", "a.example").body(body::empty()).unwrap();
        let response = crate::client::send(&mut sender, request, ClientLimits::default()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        drop(sender);
        server.await.unwrap().unwrap();
        assert_eq!(ends.recv().await, Some(End { ending: Ending::Complete, body_bytes: 5 }));
        assert_eq!(ends.recv().await, None);
    }
}
