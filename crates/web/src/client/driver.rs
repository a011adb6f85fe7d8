//! Who moves the bytes of a connection to an upstream.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use crate::service::Work;

/// How often a connection may ask to be polled again before others have their turn.
const ROUNDS_MAX: u32 = 8;

/// A connection that is polled by whoever waits for it. A task of its own would cost two changes of tasks per request,
/// often from one thread to another.
pub(super) enum Driver {
    /// Moves whenever the sender is polled.
    Here(Work, Arc<Alarm>),
    Ended,
    /// A task moves it.
    Elsewhere,
}

impl Driver {
    pub(super) fn here(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::Here(Box::pin(connection), Arc::default())
    }

    /// Moves bytes, then asks `wait`, which must depend on nothing but the connection.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self::Here(connection, alarm) = self else { return wait(cx) };
        let alarm = Arc::clone(alarm);
        let waker = Waker::from(Arc::clone(&alarm));
        let inner = &mut Context::from_waker(&waker);
        alarm.task.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            alarm.mute();
            if connection.as_mut().poll(inner).is_ready() {
                *self = Self::Ended;
                return wait(cx);
            }
            let waited = wait(inner);
            let has_rung = alarm.unmute();
            if waited.is_ready() || !has_rung {
                return waited;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The connection, to be moved elsewhere from now on; `None` if there is nothing left to move.
    pub(super) fn detach(&mut self) -> Option<Work> {
        match std::mem::replace(self, Self::Elsewhere) {
            Self::Here(connection, _) => Some(connection),
            Self::Ended | Self::Elsewhere => None,
        }
    }
}

/// Wakes a task, unless the task itself is what rings: hyper's parts wake each other, and all of them run in one poll
/// here. A task that wakes itself is queued once more, and another thread is woken to take it.
#[derive(Default)]
pub(super) struct Alarm {
    task: AtomicWaker,
    is_muted: AtomicBool,
    has_rung: AtomicBool,
}

impl Alarm {
    fn mute(&self) {
        self.has_rung.store(false, Ordering::SeqCst);
        self.is_muted.store(true, Ordering::SeqCst);
    }

    /// Says whether it rang meanwhile.
    fn unmute(&self) -> bool {
        self.is_muted.store(false, Ordering::SeqCst);
        self.has_rung.load(Ordering::SeqCst)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::SeqCst);
        if !self.is_muted.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}
