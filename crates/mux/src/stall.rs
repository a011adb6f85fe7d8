//! A connection that takes no bytes is given up.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// Watches what we send. The heartbeat does not see a peer that talks and never reads.
#[derive(Debug)]
pub(crate) struct Stall {
    patience: Duration,
    watch: Option<Watch>,
}

/// A time to look again, and what had been sent when it was set.
#[derive(Debug)]
struct Watch {
    bytes_sent: u64,
    timer: Pin<Box<Sleep>>,
}

impl Stall {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, watch: None }
    }

    /// Ready after bytes have waited for between one and two times the patience and none of them was taken.
    /// `bytes_sent` is the running total; `is_waiting` says whether there are more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, bytes_sent: u64, is_waiting: bool) -> Poll<()> {
        if !is_waiting {
            self.watch = None;
            return Poll::Pending;
        }
        let patience = self.patience;
        loop {
            let timer = || Box::pin(sleep(patience));
            let watch = self.watch.get_or_insert_with(|| Watch { bytes_sent, timer: timer() });
            if watch.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if watch.bytes_sent == bytes_sent {
                return Poll::Ready(());
            }
            self.watch = None;
        }
    }
}
