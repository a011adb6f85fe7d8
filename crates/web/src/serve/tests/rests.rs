//! A connection between two requests lays its buffers down.

use std::future::Future;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, Sleep, sleep};

use super::{HEAD, IDLE, ServeError, Visitor, close_to, echo, signal};
use crate::limits::{REST_AFTER, ServeLimits};
use crate::serve::http1;

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
const MILLISECOND: Duration = Duration::from_millis(1);

/// How long it takes to end a connection that is slow to end.
const ENDS_AFTER: Duration = Duration::from_secs(1);

/// Notes with how much room it was read last: none is held where that is a byte.
struct Asked {
    io: DuplexStream,
    room: Arc<AtomicUsize>,
    /// When it can be ended: a peer may take nothing for a while, not even the end.
    ends: Pin<Box<Sleep>>,
}

impl AsyncRead for Asked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.room.store(buf.remaining(), Ordering::SeqCst);
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Asked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.ends.as_mut().poll(cx));
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A served connection, and the room of its last read.
fn watched() -> (Visitor, Arc<AtomicUsize>) {
    watched_until(Duration::ZERO)
}

/// The same that can be ended only after a while.
fn watched_until(ends_after: Duration) -> (Visitor, Arc<AtomicUsize>) {
    let (io, theirs) = duplex(256 * 1024);
    let (drain, draining) = signal();
    let room = Arc::<AtomicUsize>::default();
    let asked = Asked { io: theirs, room: Arc::clone(&room), ends: Box::pin(sleep(ends_after)) };
    let served = tokio::spawn(http1(asked, echo(), ServeLimits::default(), draining));
    (Visitor { io, drain: Some(drain), served }, room)
}

fn rests(room: &AtomicUsize) -> bool {
    room.load(Ordering::SeqCst) == 1
}

/// Reads the answer to [`REQUEST`].
async fn answered(visitor: &mut Visitor) {
    let text = visitor.until("|").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("GET /x |"), "{text}");
}

/// One that rests after a request.
async fn resting() -> (Visitor, Arc<AtomicUsize>) {
    let (mut visitor, room) = watched();
    visitor.send(REQUEST).await;
    answered(&mut visitor).await;
    sleep(REST_AFTER * 2).await;
    assert!(rests(&room));
    (visitor, room)
}

#[tokio::test(start_paused = true)]
async fn it_rests_after_a_while_and_serves_as_before() {
    let (mut visitor, room) = watched();
    for _ in 0..3 {
        visitor.send(REQUEST).await;
        answered(&mut visitor).await;
        sleep(REST_AFTER.checked_sub(MILLISECOND).unwrap()).await;
        assert!(!rests(&room), "too early");
        sleep(2 * MILLISECOND).await;
        assert!(rests(&room), "it holds room for {}", room.load(Ordering::SeqCst));
    }
    // Two at once, the second in two pieces.
    let (first, last) = REQUEST.split_at(9);
    visitor.send(&format!("{REQUEST}{first}")).await;
    answered(&mut visitor).await;
    sleep(REST_AFTER * 2).await;
    assert!(!rests(&room), "in the middle of a head");
    visitor.send(last).await;
    answered(&mut visitor).await;
    sleep(REST_AFTER * 2).await;
    assert!(rests(&room));
}

#[tokio::test(start_paused = true)]
async fn it_does_not_rest_before_the_first_request() {
    let (visitor, room) = watched();
    sleep(REST_AFTER * 2).await;
    assert!(!rests(&room));
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::HeadDeadline)));
}

#[tokio::test(start_paused = true)]
async fn who_rests_is_closed_after_the_idle_time_and_when_the_node_drains() {
    for drains in [false, true] {
        let (mut visitor, _) = resting().await;
        let rested = Instant::now();
        if drains {
            visitor.drain.take().unwrap().send(()).unwrap();
        }
        assert_eq!(visitor.rest().await, "");
        visitor.served.await.unwrap().unwrap();
        let left = if drains { Duration::ZERO } else { IDLE.saturating_sub(2 * REST_AFTER) };
        assert!(close_to(rested.elapsed(), left), "{:?}", rested.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_ends_or_vanishes_while_it_rests_is_let_go() {
    for ends in [false, true] {
        let (mut visitor, _) = resting().await;
        if ends {
            visitor.io.shutdown().await.unwrap();
            assert_eq!(visitor.rest().await, "");
        } else {
            drop(visitor.io);
        }
        let begun = Instant::now();
        visitor.served.await.unwrap().unwrap();
        assert!(begun.elapsed() < MILLISECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_begins_while_it_rests_has_the_head_deadline() {
    let (mut visitor, _) = resting().await;
    let begun = Instant::now();
    visitor.send("G").await;
    assert!(matches!(visitor.served.await.unwrap(), Err(ServeError::HeadDeadline)));
    assert!(close_to(begun.elapsed(), HEAD), "{:?}", begun.elapsed());
}

/// An empty line before a head belongs to it: nobody is kept awake by such lines, nor kept from its deadline.
#[tokio::test(start_paused = true)]
async fn an_empty_line_while_it_rests_begins_a_head() {
    let (mut visitor, room) = resting().await;
    let begun = Instant::now();
    visitor.send("\r\n").await;
    sleep(REST_AFTER * 2).await;
    assert!(!rests(&room));
    visitor.send(REQUEST).await;
    answered(&mut visitor).await;
    sleep(REST_AFTER * 2).await;
    assert!(rests(&room));
    assert!(begun.elapsed() < HEAD);
}

#[tokio::test(start_paused = true)]
async fn it_does_not_rest_in_the_middle_of_its_end() {
    let begun = Instant::now();
    let (mut visitor, _) = watched_until(ENDS_AFTER);
    visitor.send("GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    answered(&mut visitor).await;
    assert_eq!(visitor.rest().await, "");
    visitor.served.await.unwrap().unwrap();
    assert!(close_to(begun.elapsed(), ENDS_AFTER), "{:?}", begun.elapsed());
}
