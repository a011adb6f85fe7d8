//! Deleting what nobody can use any more.

use std::error::Error;

use adit_process::shutdown::Shutdown;
use adit_store::StoreError;

use crate::ControlPlane;
use crate::limits::{HISTORY_KEPT, HOUSEKEEPING_INTERVAL, USAGE_KEPT};

impl ControlPlane {
    /// Deletes old history now and then, until the process drains. What fails is logged and tried again.
    pub async fn housekeeping(self, mut shutdown: Shutdown) {
        loop {
            if let Err(error) = self.delete_history().await {
                tracing::warn!(error = &error as &dyn Error, "old rows were not deleted");
            }
            tokio::select! {
                () = shutdown.draining() => return,
                () = tokio::time::sleep(HOUSEKEEPING_INTERVAL) => {}
            }
        }
    }

    /// Deletes changes, and capabilities that have ended, from before [`HISTORY_KEPT`] ago, and usage from before
    /// [`USAGE_KEPT`] ago.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn delete_history(&self) -> Result<(), StoreError> {
        let before = self.now().minus(HISTORY_KEPT);
        let changes = self.store().changes().prune(before).await?;
        let capabilities = self.store().capabilities().prune(before).await?;
        let usage = self.store().usage().prune(self.now().minus(USAGE_KEPT)).await?;
        tracing::debug!(changes, capabilities, usage, "deleted old rows");
        Ok(())
    }
}
