//! HTTP/2 streams whose reader takes nothing.
//!
//! A peer can keep a stream's window closed for ever while it answers every PING. hyper then holds a piece of the response
//! that it cannot send, and with it the response and the upstream's connection. Such a stream is reset after a time. What counts is
//! that a whole piece goes out in it, so pieces are small.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::stall::after;
use crate::upgrade::Tie;

tokio::task_local! {
    /// The stream whose work is being polled.
    static STREAM: Arc<Handed>;
}

/// Since when the reader of one stream has not asked for more than it was handed.
#[derive(Default)]
pub(super) struct Handed {
    since: Mutex<Option<Instant>>,
    tie: OnceLock<Tie>,
}

impl Handed {
    /// That of the stream whose work calls this; none on HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    /// A piece was handed over.
    pub(super) fn handed(&self) {
        self.set(Some(Instant::now()));
    }

    /// More is asked for, and there is none yet.
    pub(super) fn asked(&self) {
        self.set(None);
    }

    /// The tie for the case that the stream's protocol is changed.
    pub(super) fn tie(&self) -> &Tie {
        self.tie.get_or_init(Tie::default)
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does a stream's work, and drops it when its reader has taken nothing for `patience`: that resets the stream.
pub(super) async fn unless_stalled(work: impl Future<Output = ()>, patience: Duration) {
    let stream = Arc::new(Handed::default());
    let mut work = pin!(STREAM.scope(Arc::clone(&stream), work));
    let mut sleep: Option<Pin<Box<Sleep>>> = None;
    poll_fn(move |cx| {
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match stream.since() {
            Some(since) => ring(&mut sleep, after(since, patience), cx),
            None => Poll::Pending,
        }
    })
    .await;
}

/// One timer for the stream's whole life, moved only when it rings too early.
fn ring(sleep: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
    while sleep.as_mut().poll(cx).is_ready() {
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(due);
    }
    Poll::Pending
}
