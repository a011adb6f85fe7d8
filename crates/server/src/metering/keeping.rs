//! The task that keeps the books, from a node's start to its end.

use std::path::Path;
use std::sync::Arc;

use adit_authority::Usage;
use adit_process::tasks::Tasks;
use tokio::sync::oneshot;

use super::SpoolError;
use super::keeper::Keeper;
use crate::limits::USAGE_LAST_DEADLINE;
use crate::node::Node;

/// Books that are being kept.
pub(crate) struct Keeping {
    tasks: Tasks,
    stop: oneshot::Sender<()>,
}

impl Keeping {
    /// Begins, with what earlier runs left in `folder`.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub(crate) async fn begin(node: &Node, usage: Arc<dyn Usage>, folder: &Path) -> Result<Self, SpoolError> {
        let (meters, clock) = (Arc::clone(&node.meters), Arc::clone(&node.clock));
        let keeper = Keeper::open(node.id, folder, usage, meters, clock).await?;
        let (tasks, (stop, stopped)) = (Tasks::new("metering"), oneshot::channel());
        tasks.spawn("keep usage", keeper.run(stopped));
        Ok(Self { tasks, stop })
    }

    /// Ends, after a last round: nothing may be carried any more.
    pub(crate) async fn end(self) {
        drop(self.stop);
        if self.tasks.join_all(USAGE_LAST_DEADLINE).await.aborted > 0 {
            tracing::warn!(
                "the last usage was not written down in time; the next run reports what is on disk"
            );
        }
    }
}
