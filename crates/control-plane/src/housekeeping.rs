//! Deleting what nobody can use any more.

use std::error::Error;
use std::time::Duration;

use adit_process::shutdown::Shutdown;
use adit_store::StoreError;

use crate::ControlPlane;
use crate::limits::{CLOCK_AHEAD_MAX, CLOCK_DOUBTED_FOR, HISTORY_KEPT, HOUSEKEEPING_INTERVAL, USAGE_KEPT};

/// What became of old history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// What was old was deleted.
    Deleted,
    /// The clock is so far beyond everything that was ever written that it may be wrong: nothing was deleted.
    ClockInDoubt,
}

impl ControlPlane {
    /// Deletes old history now and then, until the process drains. What fails is logged and tried again.
    pub async fn housekeeping(self, mut shutdown: Shutdown) {
        loop {
            let pause = match self.delete_history().await {
                Ok(History::Deleted) => HOUSEKEEPING_INTERVAL,
                Ok(History::ClockInDoubt) => {
                    in_doubt();
                    CLOCK_DOUBTED_FOR
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn Error, "old rows were not deleted");
                    HOUSEKEEPING_INTERVAL
                }
            };
            tokio::select! {
                () = shutdown.draining() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Deletes changes, and capabilities that have ended, from before [`HISTORY_KEPT`] ago, and usage from before
    /// [`USAGE_KEPT`] ago. A clock that is [`CLOCK_AHEAD_MAX`] beyond the newest row is not believed.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn delete_history(&self) -> Result<History, StoreError> {
        let now = self.now();
        let Some(newest) = self.store().changes().written_last().await? else { return Ok(History::Deleted) };
        if now > newest.plus(CLOCK_AHEAD_MAX) {
            return Ok(History::ClockInDoubt);
        }
        let now = now.min(newest);
        let before = now.minus(HISTORY_KEPT);
        let changes = self.store().changes().prune(before).await?;
        let capabilities = self.store().capabilities().prune(before).await?;
        let usage = self.store().usage().prune(now.minus(USAGE_KEPT)).await?;
        tracing::debug!(changes, capabilities, usage, "deleted old rows");
        Ok(History::Deleted)
    }
}

fn in_doubt() {
    let hours = |duration: Duration| duration.as_secs() / 3600;
    tracing::error!(
        hours_beyond = hours(CLOCK_AHEAD_MAX),
        hours_left = hours(CLOCK_DOUBTED_FOR),
        "the clock is far beyond everything in the database, so nothing old is deleted for now; if the clock is wrong, set it \
         and start again; if nothing ran for so long, nothing is to be done"
    );
}
