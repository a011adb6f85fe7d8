//! The bookkeeping behind a set: one map entry per running task, three short locks in a task's life.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

#[derive(Debug)]
pub(super) struct Set {
    name: &'static str,
    panics: AtomicU64,
    emptied: Notify,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    next_id: u64,
    closed: bool,
    /// `None` between taking the place and the spawn.
    tasks: HashMap<u64, Option<AbortHandle>>,
}

impl Set {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, panics: AtomicU64::new(0), emptied: Notify::new(), live: Mutex::default() }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn running(&self) -> usize {
        self.live().tasks.len()
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Notes how to abort a task that took its place before; not if it has ended since.
    pub(super) fn admit(&self, id: u64, handle: AbortHandle) {
        let mut live = self.live();
        if live.closed {
            handle.abort();
        }
        if let Some(entry) = live.tasks.get_mut(&id) {
            *entry = Some(handle);
        }
    }

    /// Aborts what runs, and from now on whatever is spawned. Returns how many were running.
    pub(super) fn close(&self) -> usize {
        let mut live = self.live();
        live.closed = true;
        for handle in live.tasks.values().flatten() {
            handle.abort();
        }
        live.tasks.len()
    }

    /// Returns once no task runs.
    pub(super) async fn empty(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            // Listens before it looks, so that the last task cannot slip out in between.
            emptied.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            emptied.await;
        }
    }

    // Nothing panics while it holds this lock, so a poisoned one is as good as new.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's place in its set, given back when the task ends, in whatever way.
pub(super) struct Place {
    set: Arc<Set>,
    id: u64,
}

impl Place {
    pub(super) fn take(set: &Arc<Set>) -> Self {
        let mut live = set.live();
        let id = live.next_id;
        live.next_id = live.next_id.wrapping_add(1);
        live.tasks.insert(id, None);
        drop(live);
        Self { set: Arc::clone(set), id }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The set's name, and how many of its tasks have panicked with this one.
    pub(super) fn count_panic(&self) -> (&'static str, u64) {
        (self.set.name, self.set.panics.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.set.live();
        live.tasks.remove(&self.id);
        let empty = live.tasks.is_empty();
        drop(live);
        if empty {
            self.set.emptied.notify_waiters();
        }
    }
}
