#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use adit_domain::Hostname;
use adit_domain::id::RequestId;
use adit_web::BodyError;
use bytes::Bytes;
use futures::stream;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Replay, Source};
use crate::access::Access;
use crate::hold::Holds;
use crate::limits::{HELD_BODY_BYTES_MAX, HELD_BYTES_MAX, REQUEST_BODY_IDLE};
use crate::metering::{Count, Meter};
use crate::trace::Trace;
use crate::visitor::next::Kept;

fn trace() -> Arc<Trace> {
    let hold = Holds::new(Instant::now()).after_restart(&Hostname::parse("a.example").unwrap()).unwrap();
    Arc::new(Trace::new(hold, Arc::default(), RequestId::new()))
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// A body in frames of `frame` bytes, with trailers at its end.
fn source(bytes: usize, frame: usize, budget: usize) -> (Source, Arc<Semaphore>) {
    let mut frames: Vec<_> =
        pattern(bytes).chunks(frame).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "yes".parse().unwrap());
    frames.push(Ok::<_, BodyError>(Frame::trailers(trailers)));
    let budget = Arc::new(Semaphore::new(budget));
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    (Source::new(body, Arc::clone(&budget)), budget)
}

/// What comes without waiting, and whether the trailers and the end came with it.
async fn read(replay: &mut Replay) -> (Vec<u8>, bool, bool) {
    let (mut data, mut has_trailers) = (Vec::new(), false);
    loop {
        match poll_fn(|cx| Poll::Ready(Pin::new(&mut *replay).poll_frame(cx))).await {
            Poll::Pending => return (data, has_trailers, false),
            Poll::Ready(None) => return (data, has_trailers, true),
            Poll::Ready(Some(frame)) => match frame.unwrap().into_data() {
                Ok(bytes) => data.extend(bytes),
                Err(_) => has_trailers = true,
            },
        }
    }
}

#[tokio::test]
async fn so_much_is_read_before_the_upstream_is_there_and_all_of_it_again() {
    for bytes in [0, 1, HELD_BODY_BYTES_MAX - 1, HELD_BODY_BYTES_MAX, HELD_BODY_BYTES_MAX + 1, 300_000] {
        for frame in [1_000, 16_384, 70_000] {
            let (source, budget) = source(bytes, frame, HELD_BYTES_MAX);
            for _ in 0..3 {
                let (data, _, has_ended) =
                    read(&mut source.replay(REQUEST_BODY_IDLE, trace(), Count::default())).await;
                assert_eq!(data, pattern(bytes.min(HELD_BODY_BYTES_MAX)), "{bytes} by {frame}");
                assert_eq!(has_ended, bytes < HELD_BODY_BYTES_MAX, "{bytes} by {frame}");
                assert_eq!(source.kept(), Kept::Whole);
            }
            let trace = trace();
            let meter = Arc::new(Meter::default());
            let mut last = source.replay(
                REQUEST_BODY_IDLE,
                Arc::clone(&trace),
                Count::new(Arc::clone(&meter), Access::default()),
            );
            trace.note_dialled();
            let (data, has_trailers, has_ended) = read(&mut last).await;
            assert_eq!(meter.read().in_bytes, bytes as u64, "each byte is counted once");
            assert!(data == pattern(bytes) && has_trailers && has_ended, "{bytes} by {frame}");
            assert_eq!(budget.available_permits(), HELD_BYTES_MAX, "nothing is kept any more");
            assert_eq!(source.kept(), Kept::Spent);
        }
    }
}

#[tokio::test]
async fn a_body_that_waits_for_the_upstream_is_woken_by_it() {
    let (source, _) = source(HELD_BODY_BYTES_MAX + 5, 70_000, HELD_BYTES_MAX);
    let trace = trace();
    let mut replay = source.replay(REQUEST_BODY_IDLE, Arc::clone(&trace), Count::default());
    assert_eq!(read(&mut replay).await.0.len(), HELD_BODY_BYTES_MAX);
    let (frame, ()) = tokio::join!(replay.frame(), async { trace.note_dialled() });
    assert_eq!(frame.unwrap().unwrap().into_data().unwrap().len(), 5);
}

#[tokio::test]
async fn a_body_that_is_out_is_let_go_when_the_upstream_is_there() {
    let (source, budget) = source(1_000, 1_000, HELD_BYTES_MAX);
    let (trace, meter) = (trace(), Arc::new(Meter::default()));
    let mut replay = source.replay(
        REQUEST_BODY_IDLE,
        Arc::clone(&trace),
        Count::new(Arc::clone(&meter), Access::default()),
    );
    assert_eq!(read(&mut replay).await.0.len(), 1_000);
    assert_eq!(meter.read().in_bytes, 0, "nobody has it yet");
    assert_eq!(budget.available_permits(), HELD_BYTES_MAX - 1_000);
    trace.note_dialled();
    source.dialled();
    assert_eq!(budget.available_permits(), HELD_BYTES_MAX);
    assert_eq!(source.kept(), Kept::Spent);
    assert_eq!(meter.read().in_bytes, 1_000);
}

#[tokio::test]
async fn a_body_of_which_nothing_was_read_is_whole_whatever_was_dialled() {
    let (source, _) = source(1_000, 1_000, HELD_BYTES_MAX);
    let trace = trace();
    trace.note_dialled();
    drop(source.replay(REQUEST_BODY_IDLE, trace, Count::default()));
    source.dialled();
    assert_eq!(source.kept(), Kept::Whole);
}

#[tokio::test]
async fn what_all_bodies_may_keep_is_bounded_and_the_rest_waits() {
    let (source, budget) = source(1_000, 400, 500);
    let trace = trace();
    let mut replay = source.replay(REQUEST_BODY_IDLE, Arc::clone(&trace), Count::default());
    assert_eq!(read(&mut replay).await.0.len(), 400);
    assert_eq!(budget.available_permits(), 100);
    // A try more gets the same, and no more is taken in.
    let mut again = source.replay(REQUEST_BODY_IDLE, Arc::clone(&trace), Count::default());
    assert_eq!(read(&mut again).await.0.len(), 400);
    trace.note_dialled();
    assert_eq!(read(&mut again).await.0, pattern(1_000)[400..]);
}

#[tokio::test]
async fn an_earlier_try_reads_no_further() {
    let (source, _) = source(1_000, 10, HELD_BYTES_MAX);
    let mut first = source.replay(REQUEST_BODY_IDLE, trace(), Count::default());
    assert!(first.frame().await.unwrap().is_ok());
    let mut second = source.replay(REQUEST_BODY_IDLE, trace(), Count::default());
    assert!(matches!(first.frame().await, Some(Err(BodyError::Cut))));
    assert_eq!(read(&mut second).await.0, pattern(1_000));
}

#[tokio::test]
async fn the_length_that_is_stated_is_the_same_at_every_try() {
    let body = adit_web::body::full(pattern(100_000));
    let source = Source::new(body, Arc::new(Semaphore::new(HELD_BYTES_MAX)));
    for _ in 0..2 {
        let mut replay = source.replay(REQUEST_BODY_IDLE, trace(), Count::default());
        assert_eq!(replay.size_hint().exact(), Some(100_000));
        read(&mut replay).await;
        assert_eq!(replay.size_hint().exact(), Some(100_000 - HELD_BODY_BYTES_MAX as u64));
    }
}
