//! Writes usage down every few seconds, on the disk first, then at the control plane.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use adit_authority::limits::USAGE_ROWS_MAX;
use adit_authority::{Unavailable, Usage};
use adit_domain::id::NodeId;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::book::Book;
use super::meter::Meters;
use super::spool::{Spool, SpoolError};
use crate::clock::Clock;
use crate::limits::{USAGE_REPORT_DEADLINE, USAGE_WRITE_INTERVAL};

/// Keeps the books of a node.
pub(super) struct Keeper {
    meters: Arc<Meters>,
    usage: Arc<dyn Usage>,
    clock: Clock,
    spool: Spool,
    book: Book,
    /// The disk lacks something.
    is_behind: bool,
    troubled: Trouble,
}

/// What went wrong last, so that it is said once and not every few seconds.
#[derive(Default)]
struct Trouble {
    disk: bool,
    report: bool,
    left: bool,
}

impl Keeper {
    /// Opens the folder and takes over what earlier processes could not report.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub(super) async fn open(
        node: NodeId,
        folder: &Path,
        usage: Arc<dyn Usage>,
        meters: Arc<Meters>,
        clock: Clock,
    ) -> Result<Self, SpoolError> {
        let (spool, left) = Spool::open(folder).await?;
        if !left.is_empty() {
            tracing::info!(rows = left.len(), "usage of earlier runs is reported");
        }
        let (book, is_behind) = (Book::new(node, left, clock()), true);
        Ok(Self { meters, usage, clock, spool, book, is_behind, troubled: Trouble::default() })
    }

    /// Writes down until `stop` is sent or dropped, and then once more.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut ticks = interval(USAGE_WRITE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stop => break,
                _ = ticks.tick() => self.round().await,
            }
        }
        self.round().await;
    }

    async fn round(&mut self) {
        self.take_over().await;
        let meters = self.meters.all();
        self.is_behind |=
            self.book.write(meters.iter().map(|(endpoint, meter)| (*endpoint, meter.read())), (self.clock)());
        drop(meters);
        self.is_behind |= self.book.drop_closed();
        if self.is_behind {
            self.spool().await;
        }
        let reported = timeout(USAGE_REPORT_DEADLINE, self.report()).await;
        self.note(reported.unwrap_or_else(|_| Err(Unavailable { reason: "no answer in time".to_owned() })));
        self.forget();
    }

    /// What a process left that was killed while it drained beside this one.
    async fn take_over(&mut self) {
        match self.spool.take_over().await {
            Ok(left) => {
                self.is_behind |= !left.is_empty();
                self.book.take_over(left);
                self.troubled.left = false;
            }
            Err(_) if self.troubled.left => {}
            Err(error) => {
                self.troubled.left = true;
                let error = &error as &dyn Error;
                tracing::error!(error, "usage of another process cannot be taken over");
            }
        }
    }

    async fn spool(&mut self) {
        let written = self.spool.write(self.book.rows()).await;
        self.is_behind = written.is_err();
        match written {
            Ok(()) => self.troubled.disk = false,
            Err(_) if self.troubled.disk => {}
            Err(error) => {
                self.troubled.disk = true;
                let error = &error as &dyn Error;
                tracing::error!(
                    error,
                    "usage cannot be kept on disk: a crash now would lose more than a few seconds of it"
                );
            }
        }
    }

    /// In pieces. What a piece that failed held is reported again.
    async fn report(&mut self) -> Result<(), Unavailable> {
        loop {
            let rows = self.book.unconfirmed(USAGE_ROWS_MAX);
            if rows.is_empty() {
                return Ok(());
            }
            self.usage.report(&rows).await?;
            self.book.confirm(&rows);
        }
    }

    fn note(&mut self, reported: Result<(), Unavailable>) {
        match reported {
            Ok(()) => self.troubled.report = false,
            Err(_) if self.troubled.report => {}
            Err(error) => {
                self.troubled.report = true;
                tracing::warn!(%error, "usage cannot be reported; it is kept and reported later");
            }
        }
    }

    /// What nobody serves any more and what stands in closed rows needs no counter.
    fn forget(&mut self) {
        let book = &self.book;
        let forgotten = self.meters.forget(|endpoint, count| book.is_settled(endpoint, count));
        // Exactly these: one that is served again by now has a new meter, and its counts are new.
        self.book.forget(&forgotten);
    }
}

#[cfg(test)]
mod tests;
