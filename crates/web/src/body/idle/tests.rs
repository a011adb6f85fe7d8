#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{BodyError, IdleTimeout};

const IDLE: Duration = Duration::from_mins(1);

/// A body that hands on what is sent to it.
struct Fed(mpsc::Receiver<Frame<Bytes>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn fed() -> (mpsc::Sender<Frame<Bytes>>, IdleTimeout<Fed>) {
    let (feed, frames) = mpsc::channel(4);
    (feed, IdleTimeout::new(Fed(frames), IDLE))
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stops_is_ended() {
    let (feed, mut body) = fed();
    feed.send(Frame::data(Bytes::from_static(b"a"))).await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    let waiting = Instant::now();
    assert!(matches!(body.frame().await.unwrap(), Err(BodyError::Idle)));
    assert_eq!(waiting.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn progress_starts_the_time_anew() {
    let (feed, mut body) = fed();
    let feeder = async {
        for _ in 0..10 {
            sleep(IDLE.mul_f64(0.99)).await;
            feed.send(Frame::data(Bytes::from_static(b"a"))).await.unwrap();
        }
        feed.send(Frame::trailers(HeaderMap::new())).await.unwrap();
        drop(feed);
    };
    let reader = async {
        for _ in 0..10 {
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert!(body.frame().await.is_none());
    };
    tokio::join!(feeder, reader);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_ask_is_not_the_sources_fault() {
    let (feed, mut body) = fed();
    for _ in 0..3 {
        feed.send(Frame::data(Bytes::from_static(b"a"))).await.unwrap();
        sleep(IDLE * 3).await;
        assert!(body.frame().await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_without_end_never_comes() {
    let (feed, body) = fed();
    let mut body = IdleTimeout::new(body.body, Duration::MAX);
    let feeder = async {
        sleep(Duration::from_hours(1000)).await;
        feed.send(Frame::data(Bytes::new())).await.unwrap();
    };
    let (frame, ()) = tokio::join!(body.frame(), feeder);
    assert!(frame.unwrap().is_ok());
}

#[test]
fn length_and_end_are_the_bodys_own() {
    let inner = Full::new(Bytes::from_static(b"hello")).map_err(|never| match never {});
    let body: IdleTimeout<_> = IdleTimeout::new(inner, IDLE);
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    assert!(IdleTimeout::new(crate::body::empty(), IDLE).is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn the_time_can_be_another_one_for_the_next_reader() {
    let millisecond = Duration::from_millis(1);
    for (idle, wait, in_time) in [
        (IDLE * 2, (IDLE * 2).checked_sub(millisecond).unwrap(), true),
        (IDLE * 2, IDLE * 2 + millisecond, false),
        (IDLE / 2, (IDLE / 2).checked_sub(millisecond).unwrap(), true),
        (IDLE / 2, IDLE / 2 + millisecond, false),
    ] {
        let (feed, mut body) = fed();
        // A reader that leaves.
        assert!(timeout(IDLE / 4, body.frame()).await.is_err());
        sleep(IDLE * 3).await;
        body.hold_to(idle);
        let feeder = async {
            sleep(wait).await;
            let _ = feed.send(Frame::data(Bytes::from_static(b"a"))).await;
        };
        let reader = async {
            let begun = Instant::now();
            let frame = body.frame().await.unwrap();
            assert!(in_time || begun.elapsed().as_secs() == idle.as_secs(), "{idle:?} {wait:?}");
            frame.is_ok()
        };
        let ((), read) = tokio::join!(feeder, reader);
        assert_eq!(read, in_time, "{idle:?} {wait:?}");
    }
}
