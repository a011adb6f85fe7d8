//! The last moments of a connection whose peer is still sending.
//!
//! A request can be answered before all of its body has come: too large, nobody there to take it. To close the socket
//! with unread bytes makes the kernel send a reset, and the peer may lose the answer that it has not read yet (RFC
//! 9112, section 9.6). So our end is closed, and what still comes is thrown away for a moment.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::limits::{LINGER_BYTES_MAX, LINGER_DEADLINE, LINGER_READ_BYTES};

/// Bounded by time and by bytes; after either the reset is the peer's to bear.
pub(super) struct Linger {
    left: usize,
    sleep: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { left: LINGER_BYTES_MAX, sleep: Box::pin(sleep(LINGER_DEADLINE)) }
    }

    /// Ready when the peer has closed its end too, or when it had its moment.
    pub(super) fn poll<I: AsyncRead + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; LINGER_READ_BYTES];
        while self.left > 0 && self.sleep.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::new(&mut scratch);
            let outcome = ready!(Pin::new(&mut *io).poll_read(cx, &mut unread));
            if outcome.is_err() || unread.filled().is_empty() {
                break;
            }
            self.left = self.left.saturating_sub(unread.filled().len());
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
