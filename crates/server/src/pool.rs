//! Idle upstream connections of one tunnel, ready for the next request of whichever visitor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adit_web::client::Sender;
use tokio::time::Instant;

use crate::limits::{POOL_BURST_MAX, POOL_IDLE_AGE, POOL_IDLE_MAX};
use crate::mix::Mix;
use crate::trace::Trace;

/// A connection with no request in flight, and what is known of its stream.
pub(crate) struct Idle {
    pub(crate) sender: Sender,
    pub(crate) trace: Arc<Trace>,
}

/// At most [`POOL_BURST_MAX`] connections, of which a sweep leaves the freshest [`POOL_IDLE_MAX`], each idle for at most
/// [`POOL_IDLE_AGE`]. The freshest is used first.
pub(crate) struct Pool {
    idle: Mutex<State>,
    /// How many there are: every choice of a tunnel asks.
    len: AtomicUsize,
    /// Of the session, whose streams they are.
    mix: Arc<Mix>,
}

#[derive(Default)]
struct State {
    connections: Vec<(Instant, Idle)>,
    /// The tunnel has ended: what comes back now is closed.
    closed: bool,
}

impl Pool {
    /// Of one of the tunnels whose session carries this.
    pub(crate) fn new(mix: Arc<Mix>) -> Self {
        Self { idle: Mutex::default(), len: AtomicUsize::new(0), mix }
    }

    /// A connection that was still open when it was looked at.
    pub(crate) fn take(&self) -> Option<Idle> {
        let now = Instant::now();
        let mut state = self.lock();
        while let Some((since, mut idle)) = state.connections.pop() {
            self.note(&state);
            if now.duration_since(since) < POOL_IDLE_AGE && !idle.sender.has_ended() {
                return Some(idle);
            }
        }
        None
    }

    /// Keeps a connection for later, unless there are enough.
    pub(crate) fn put(&self, idle: Idle) {
        let mut state = self.lock();
        if !state.closed && state.connections.len() < POOL_BURST_MAX {
            state.connections.push((Instant::now(), idle));
            self.note(&state);
        }
    }

    /// Closes the connection that nobody has taken for longest; `false` if there is none.
    pub(crate) fn give_up_one(&self) -> bool {
        let mut state = self.lock();
        let has_one = !state.connections.is_empty();
        if has_one {
            drop(state.connections.remove(0));
            self.note(&state);
        }
        has_one
    }

    /// How many connections are idle.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Closes what has been idle for too long, and what is left of a burst.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut state = self.lock();
        state.connections.retain_mut(|(since, idle)| {
            now.duration_since(*since) < POOL_IDLE_AGE && !idle.sender.has_ended()
        });
        let left_over = state.connections.len().saturating_sub(POOL_IDLE_MAX);
        // Connections are put at the end, so the front holds the ones that nobody has taken for longest.
        state.connections.drain(..left_over);
        self.note(&state);
    }

    /// Closes everything, now and from now on: the endpoint is no longer served this way.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.connections.clear();
        self.note(&state);
    }

    fn note(&self, state: &State) {
        let len = state.connections.len();
        self.mix.idles(self.len.swap(len, Ordering::Relaxed), len);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;

    use tokio::time::Instant;

    use adit_domain::Hostname;
    use adit_domain::id::RequestId;
    use adit_web::client;
    use adit_web::limits::ClientLimits;

    use super::{Idle, Pool};
    use crate::hold::Holds;
    use crate::limits::{POOL_BURST_MAX, POOL_IDLE_AGE, POOL_IDLE_MAX};
    use crate::trace::Trace;

    /// A pool into which `n` open connections were put. They stay open as long as the second value lives.
    async fn pool_of(n: usize) -> (Pool, Vec<impl Sized>) {
        let (pool, mut open) = (Pool::new(Arc::default()), Vec::new());
        let hold = Holds::new(Instant::now()).after_restart(&Hostname::parse("a.example").unwrap()).unwrap();
        for _ in 0..n {
            let (ours, theirs) = tokio::io::duplex(64);
            let sender = client::handshake(ours, ClientLimits::default()).await.unwrap();
            pool.put(Idle {
                sender,
                trace: Arc::new(Trace::new(Arc::clone(&hold), Arc::default(), RequestId::new())),
            });
            open.push(theirs);
        }
        (pool, open)
    }

    #[tokio::test]
    async fn a_burst_is_kept_until_the_sweep() {
        for (put, kept, swept) in [
            (POOL_IDLE_MAX - 1, POOL_IDLE_MAX - 1, POOL_IDLE_MAX - 1),
            (POOL_IDLE_MAX, POOL_IDLE_MAX, POOL_IDLE_MAX),
            (POOL_IDLE_MAX + 1, POOL_IDLE_MAX + 1, POOL_IDLE_MAX),
            (POOL_BURST_MAX, POOL_BURST_MAX, POOL_IDLE_MAX),
            (POOL_BURST_MAX + 1, POOL_BURST_MAX, POOL_IDLE_MAX),
        ] {
            let (pool, _open) = pool_of(put).await;
            assert_eq!(pool.len(), kept);
            pool.sweep(Instant::now());
            assert_eq!(pool.len(), swept);
        }
    }

    #[tokio::test]
    async fn what_is_old_or_closed_is_not_given_out() {
        let (pool, open) = pool_of(3).await;
        assert!(pool.take().is_some());
        drop(open);
        assert!(pool.take().is_none());

        let (pool, _open) = pool_of(3).await;
        pool.sweep(Instant::now() + POOL_IDLE_AGE);
        assert!(pool.take().is_none());
    }

    #[tokio::test]
    async fn what_is_given_up_does_not_count_any_more() {
        let (pool, _open) = pool_of(2).await;
        for left in [1, 0] {
            assert!(pool.give_up_one());
            assert_eq!(pool.len(), left);
        }
        assert!(!pool.give_up_one());
    }

    #[tokio::test]
    async fn a_cleared_pool_takes_nothing_more() {
        let (pool, _open) = pool_of(1).await;
        let idle = pool.take().unwrap();
        pool.clear();
        pool.put(idle);
        assert_eq!(pool.len(), 0);
    }
}
