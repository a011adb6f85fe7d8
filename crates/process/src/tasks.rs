//! Named tasks with one owner. The only place of the workspace that spawns.
//!
//! A panic ends its own task: it is logged with the task's name and counted, the rest goes on. Finished tasks leave
//! nothing behind, so a set may live as long as the program and carry one task per connection.

mod panic;
mod set;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument as _;

use crate::limits::ABORT_GRACE;
use set::{Place, Set};

/// A set of tasks with one owner. Clones are the same set.
#[derive(Clone, Debug)]
pub struct Tasks {
    set: Arc<Set>,
}

impl Tasks {
    /// An empty set. `name` tells in logs whose tasks these are.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { set: Arc::new(Set::new(name)) }
    }

    /// Runs `future` as a task of this set. Dropping the returned handle leaves the task running: the set owns it.
    /// After the end of [`Tasks::join_all`] nothing runs any more: a task spawned then is aborted before it starts.
    ///
    /// # Panics
    /// Outside a tokio runtime, as tokio's own spawn does.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let place = Place::take(&self.set);
        let id = place.id();
        let span = tracing::debug_span!(parent: None, "task", set = self.set.name(), name);
        // Boxed once: each layer around it would else hold a copy of its room.
        let future = Box::pin(future);
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        let handle = tokio::spawn(run(name, place, future).instrument(span));
        self.set.admit(id, handle.abort_handle());
        Task { handle }
    }

    /// How many tasks are running now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.set.running()
    }

    /// Waits until no task runs. Cancel safe.
    pub async fn idle(&self) {
        self.set.empty().await;
    }

    /// How many tasks ended by a panic since the set was made.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.set.panics()
    }

    /// Waits until no task runs, at most `deadline`, then aborts what remains and closes the set. A task must not
    /// wait for its own set.
    pub async fn join_all(&self, deadline: Duration) -> Joined {
        let in_time = tokio::time::timeout(deadline, self.set.empty()).await.is_ok();
        let aborted = self.set.close();
        if !in_time && tokio::time::timeout(ABORT_GRACE, self.set.empty()).await.is_err() {
            let stuck = self.set.running();
            tracing::error!(set = self.set.name(), stuck, "tasks block a thread and cannot be aborted");
            return Joined { aborted, stuck };
        }
        Joined { aborted, stuck: 0 }
    }
}

/// How [`Tasks::join_all`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Tasks that were still running at the deadline and were aborted.
    pub aborted: usize,
    /// Of these, tasks that did not end [`ABORT_GRACE`] later: they block a thread.
    pub stuck: usize,
}

/// A running task: a future of its result. A task whose handle is dropped handles its own errors.
#[derive(Debug)]
pub struct Task<T> {
    handle: JoinHandle<Result<T, TaskError>>,
}

impl<T> Task<T> {
    /// Ends the task at its next await.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// A handle that aborts the task and does not wait for it.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        self.handle.abort_handle()
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.handle).poll(context));
        Poll::Ready(joined.unwrap_or(Err(TaskError::Aborted)))
    }
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TaskError {
    /// It panicked.
    #[error("task `{task}` panicked: {message}")]
    Panicked {
        /// The task's name.
        task: &'static str,
        /// What the panic said.
        message: String,
    },
    /// It was aborted before it had one.
    #[error("the task was aborted")]
    Aborted,
}

async fn run<F: Future>(name: &'static str, place: Place, future: F) -> Result<F::Output, TaskError> {
    let outcome = panic::contained(future).await;
    outcome.map_err(|message| {
        let (set, panics) = place.count_panic();
        tracing::error!(set, task = name, message, panics, "a task panicked; the others go on");
        TaskError::Panicked { task: name, message }
    })
}

#[cfg(test)]
mod tests;
