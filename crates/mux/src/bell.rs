//! What wakes the driver, and how it is left alone for a while.

use std::{
    future::Future as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures::task::AtomicWaker;
use tokio::task::yield_now;

/// Passes wakes on to the driver's task, except during a turn that the driver gives to all others.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    task: AtomicWaker,
    is_muted: AtomicBool,
}

impl Bell {
    /// The driver is polled: from now on it hears everything again. Returns what everything below is to be polled with.
    pub(crate) fn answer(self: &Arc<Self>, cx: &Context<'_>) -> Waker {
        self.task.register(cx.waker());
        self.is_muted.store(false, Ordering::SeqCst);
        Waker::from(Arc::clone(self))
    }

    /// Whatever rings is not heard until the tasks that are ready now have run. The driver then looks at everything, so
    /// nothing is lost.
    pub(crate) fn give_a_turn(&self, cx: &mut Context<'_>) {
        self.is_muted.store(true, Ordering::SeqCst);
        // A task that wakes itself would be taken by another thread that has nothing to do, and run at once. This way it waits
        // until its own thread has nothing to do, or has run some dozens of tasks.
        let _ = pin!(yield_now()).poll(cx);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_muted.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Wake, Waker},
    };

    use super::Bell;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_turn_ends_by_itself_and_nothing_else_ends_it() {
        let (task, bell) = (Arc::<Task>::default(), Arc::<Bell>::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut cx = Context::from_waker(&waker);
        let rings = || task.0.load(Ordering::SeqCst);

        let ring = bell.answer(&cx);
        ring.wake_by_ref();
        assert_eq!(rings(), 1);

        let ring = bell.answer(&cx);
        bell.give_a_turn(&mut cx);
        ring.wake_by_ref();
        assert_eq!(rings(), 1, "muted");
        tokio::task::yield_now().await;
        assert_eq!(rings(), 2, "the turn is over");

        let ring = bell.answer(&cx);
        ring.wake();
        assert_eq!(rings(), 3);
    }
}
