//! How many streams a connection may open before another one should take its place.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// yamux's ids are used once and end; a connection that has used up half of them is to be replaced while the other half
/// lasts.
#[derive(Debug)]
pub(crate) struct Lifetime {
    streams_max: u64,
    streams: AtomicU64,
    is_over: watch::Sender<bool>,
}

impl Lifetime {
    pub(crate) fn new(streams_max: u64) -> Self {
        Self { streams_max, streams: AtomicU64::new(0), is_over: watch::Sender::new(false) }
    }

    /// One more stream was opened.
    pub(crate) fn count(&self) {
        let streams = self.streams.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if streams >= self.streams_max {
            self.is_over.send_if_modified(|is_over| !std::mem::replace(is_over, true));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) {
        // The sender is here, so it does not go while this waits.
        let _ = self.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Lifetime;

    #[tokio::test]
    async fn it_is_over_after_so_many() {
        let lifetime = Lifetime::new(3);
        for is_over in [false, false, true, true] {
            lifetime.count();
            assert_eq!(lifetime.is_over(), is_over);
        }
        lifetime.over().await;
    }
}
