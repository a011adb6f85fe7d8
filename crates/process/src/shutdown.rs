//! One watch tells every loop of a program to drain and then to stop.
//!
//! A value set before a loop subscribed is not missed, and a [`Trigger`] that is gone counts as
//! [`Phase::Stopped`]: a loop that waits on it ends, it does not spin.

use tokio::sync::watch;

/// How far the end of the program has come. Phases only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// At work.
    Running,
    /// Takes nothing new, finishes what it has.
    Draining,
    /// Ends now.
    Stopped,
}

/// The hand that starts the end. Dropping it stops everything that listens.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Phase>);

impl Trigger {
    /// Takes nothing new from now on.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Ends everything now.
    pub fn stop(&self) {
        self.advance(Phase::Stopped);
    }

    /// Another listener of the same watch.
    #[must_use]
    pub fn subscribe(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let grows = *phase < to;
            *phase = (*phase).max(to);
            grows
        });
    }
}

/// The listening end. Cloned into every loop.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

impl Shutdown {
    /// A trigger and its first listener, [`Phase::Running`].
    #[must_use]
    pub fn new() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Trigger(sender), Self(receiver))
    }

    /// Where the shutdown stands at this moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.0.has_changed().is_err() { Phase::Stopped } else { *self.0.borrow() }
    }

    /// Returns once the phase is at least [`Phase::Draining`]; at once when it is already. Cancel safe.
    pub async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Returns once the phase is [`Phase::Stopped`]; at once when it is already. Cancel safe.
    pub async fn stopped(&mut self) {
        self.reached(Phase::Stopped).await;
    }

    async fn reached(&mut self, wanted: Phase) {
        // An error means that the trigger is gone, which is the same as stopped.
        let _gone = self.0.wait_for(|phase| *phase >= wanted).await.is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::{Phase, Shutdown};

    /// Polls once: `true` if the future is ready.
    fn ready(future: impl Future<Output = ()>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(future).poll(&mut context) == Poll::Ready(())
    }

    #[test]
    fn phases_come_in_order_and_never_go_back() {
        let (trigger, mut shutdown) = Shutdown::new();
        assert_eq!(shutdown.phase(), Phase::Running);
        assert!(!ready(shutdown.draining()));

        trigger.drain();
        assert_eq!(shutdown.phase(), Phase::Draining);
        assert!(ready(shutdown.draining()));
        assert!(!ready(shutdown.stopped()));

        trigger.stop();
        trigger.drain();
        assert_eq!(shutdown.phase(), Phase::Stopped);
        assert!(ready(shutdown.draining()));
        assert!(ready(shutdown.stopped()));
    }

    #[test]
    fn a_listener_that_comes_late_misses_nothing() {
        let (trigger, _first) = Shutdown::new();
        trigger.drain();
        let mut late = trigger.subscribe();
        assert!(ready(late.draining()));
        assert!(!ready(late.stopped()));
    }

    #[test]
    fn a_dropped_trigger_ends_every_wait_at_once() {
        let (trigger, mut shutdown) = Shutdown::new();
        let mut other = shutdown.clone();
        drop(trigger);
        assert_eq!(shutdown.phase(), Phase::Stopped);
        assert!(ready(shutdown.draining()));
        assert!(ready(shutdown.stopped()));
        assert!(ready(other.stopped()));
    }

    #[tokio::test]
    async fn a_waiter_wakes_when_the_trigger_is_dropped() {
        let (trigger, mut shutdown) = Shutdown::new();
        let ((), ()) = tokio::join!(shutdown.stopped(), async { drop(trigger) });
    }

    #[test]
    fn a_loop_ends_on_a_dropped_trigger_and_does_not_spin() {
        let (trigger, mut shutdown) = Shutdown::new();
        drop(trigger);
        let mut turns = 0;
        while shutdown.phase() < Phase::Stopped && turns < 10 {
            turns += 1;
            assert!(ready(shutdown.draining()));
        }
        assert_eq!(turns, 0);
    }
}
