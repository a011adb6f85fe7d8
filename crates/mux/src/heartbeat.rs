//! Any received byte is life; silence first sends a ping and then ends the connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// What the silence calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Send a ping.
    Ping,
    /// The peer is dead.
    Dead,
}

/// Watches one direction: what we receive. The peer watches the other.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    idle: Duration,
    dead: Duration,
    bytes_seen: u64,
    last_byte: Instant,
    has_pinged: bool,
    timer: Pin<Box<Sleep>>,
}

impl Heartbeat {
    pub(crate) fn new(idle: Duration, dead: Duration) -> Self {
        let last_byte = Instant::now();
        let timer = Box::pin(sleep_until(after(last_byte, idle)));
        Self { idle, dead, bytes_seen: 0, last_byte, has_pinged: false, timer }
    }

    /// `bytes_received` is the running total of the connection.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, bytes_received: u64) -> Poll<Beat> {
        if self.bytes_seen != bytes_received {
            self.bytes_seen = bytes_received;
            self.last_byte = Instant::now();
            self.has_pinged = false;
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= after(self.last_byte, self.dead) {
                return Poll::Ready(Beat::Dead);
            }
            let is_idle = now >= after(self.last_byte, self.idle);
            let next = if is_idle { self.dead } else { self.idle };
            self.timer.as_mut().reset(after(self.last_byte, next));
            if is_idle && !self.has_pinged {
                self.has_pinged = true;
                return Poll::Ready(Beat::Ping);
            }
        }
        Poll::Pending
    }
}

/// A time so far away that it overflows is as good as a year from now.
fn after(start: Instant, wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    start.checked_add(wait.min(YEAR)).unwrap_or(start)
}
