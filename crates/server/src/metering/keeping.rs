//! The task that keeps the books, from a node's start to its end.

use std::path::Path;
use std::sync::Arc;

use adit_authority::Usage;
use adit_domain::id::NodeId;
use adit_process::tasks::{Task, Tasks};
use tokio::sync::oneshot;

use super::keeper::Keeper;
use super::{Meters, SpoolError};
use crate::clock::Clock;
use crate::limits::USAGE_LAST_DEADLINE;

/// Books that are being kept.
pub(crate) struct Keeping {
    tasks: Tasks,
    stop: oneshot::Sender<()>,
}

impl Keeping {
    /// Begins, with what earlier runs left in `folder`. The task is the one that keeps them.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub(crate) async fn begin(
        node: NodeId,
        meters: Arc<Meters>,
        clock: Clock,
        usage: Arc<dyn Usage>,
        folder: &Path,
    ) -> Result<(Self, Task<()>), SpoolError> {
        let keeper = Keeper::open(node, folder, usage, meters, clock).await?;
        let (tasks, (stop, stopped)) = (Tasks::new("metering"), oneshot::channel());
        let task = tasks.spawn("keep usage", keeper.run(stopped));
        Ok((Self { tasks, stop }, task))
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
