//! Endpoints whose agent has vanished or whose upstream has just gone: requests and connections wait for them, for a
//! bounded time, in bounded numbers. Which ones wait is `visitor::next`; here is on what.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use adit_domain::Hostname;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use crate::limits::{
    HELD_BYTES_MAX, HELD_ENDPOINTS_MAX, HELD_FOR_UNKNOWN_MAX, HELD_PER_ENDPOINT_MAX, HELD_PER_NODE_MAX,
    HOLD_AGENT, REFUSED_LOOK,
};
use crate::places::{self, Places};
use crate::share::TenantShare;

/// The endpoints that are served here, and those that were until a moment ago.
pub(crate) struct Holds {
    by_name: Mutex<HashMap<Hostname, Arc<Hold>>>,
    requests: Semaphore,
    /// Of endpoints that nobody has served since the node began: whose they are is not known yet.
    for_unknown: Arc<Places>,
    bytes: Arc<Semaphore>,
    began: Instant,
}

/// One endpoint.
pub(crate) struct Hold {
    serving: watch::Sender<Serving>,
    requests: Semaphore,
    /// Whose it is, as soon as an agent said so. Kept as long as this: when the tenant's agents come back, who waits still
    /// counts.
    tenant: OnceLock<Arc<TenantShare>>,
    /// Whoever holds this asks for the upstream; the others wait for what comes of it.
    turn: Arc<Semaphore>,
    born: Instant,
    /// When the upstream answered last, in milliseconds after `born`, plus one. Zero: it never has.
    answered_ms: AtomicU64,
    answered: Notify,
}

/// Whether an endpoint has an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serving {
    Bound,
    /// Its agent was lost, and is expected back.
    Vanished(Instant),
    /// Its agent gave it back, or may not serve it any more.
    Released(Instant),
}

/// When an agent came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    AtOnce,
    Later,
}

/// Nobody came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired;

/// A held request's place; it is free again when this is dropped.
pub(crate) struct Place<'a> {
    _node: SemaphorePermit<'a>,
    _tenant: places::Place,
    _endpoint: SemaphorePermit<'a>,
    _bytes: SemaphorePermit<'a>,
}

impl Holds {
    /// Of a node that begins to serve now.
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            by_name: Mutex::default(),
            requests: Semaphore::new(HELD_PER_NODE_MAX),
            for_unknown: Places::new(HELD_FOR_UNKNOWN_MAX),
            bytes: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
            began,
        }
    }

    /// The endpoint, for the tunnel of this tenant that is about to serve it.
    pub(crate) fn enter(&self, hostname: &Hostname, tenant: &Arc<TenantShare>) -> Arc<Hold> {
        let now = Instant::now();
        let mut by_name = self.lock();
        // As if given back, until it is bound: where that fails, nothing says that somebody is served.
        let hold = by_name.entry(hostname.clone()).or_insert_with(|| Hold::new(Serving::Released(now), now));
        hold.tenant.get_or_init(|| Arc::clone(tenant));
        Arc::clone(hold)
    }

    /// The last agent of an endpoint is gone without a word.
    pub(crate) fn vanished(&self, hostname: &Hostname) {
        self.set(hostname, Serving::Vanished(Instant::now()));
    }

    /// The last agent of an endpoint has given it back, or may not serve it any more. Nobody waits for it.
    pub(crate) fn released(&self, hostname: &Hostname) {
        self.set(hostname, Serving::Released(Instant::now()));
    }

    /// An endpoint that is served, or was a moment ago.
    pub(crate) fn find(&self, hostname: &Hostname) -> Option<Arc<Hold>> {
        self.lock().get(hostname).cloned()
    }

    /// An endpoint that exists and has not been served since the node began. For a moment that says nothing: after a
    /// restart all agents are still on their way. `None` after that moment, or when too many are waited for.
    pub(crate) fn after_restart(&self, hostname: &Hostname) -> Option<Arc<Hold>> {
        let mut by_name = self.lock();
        if !self.is_young(Instant::now()) || by_name.len() >= HELD_ENDPOINTS_MAX {
            return None;
        }
        let vanished = Serving::Vanished(self.began);
        let hold = by_name.entry(hostname.clone()).or_insert_with(|| Hold::new(vanished, self.began));
        Some(Arc::clone(hold))
    }

    /// A place for one more request that waits, and room for so many bytes that may come of its body meanwhile.
    pub(crate) fn place<'a>(&'a self, hold: &'a Hold, unread_bytes: usize) -> Option<Place<'a>> {
        let of_node = self.requests.try_acquire().ok()?;
        let bytes = self.bytes.try_acquire_many(u32::try_from(unread_bytes).ok()?).ok()?;
        let of_tenant = hold.tenant.get().map_or(&self.for_unknown, |tenant| tenant.held()).take().ok()?;
        let of_endpoint = hold.requests.try_acquire().ok()?;
        Some(Place { _node: of_node, _tenant: of_tenant, _endpoint: of_endpoint, _bytes: bytes })
    }

    /// Room for the bodies that are kept until they are known to be delivered, in bytes.
    pub(crate) fn bytes(&self) -> Arc<Semaphore> {
        Arc::clone(&self.bytes)
    }

    /// Forgets the endpoints that nobody waits for any more.
    pub(crate) fn sweep(&self, now: Instant) {
        // Until then it matters who left in order.
        if !self.is_young(now) {
            // Whoever has it in hand is about to bind it, or waits.
            self.lock().retain(|_, hold| Arc::strong_count(hold) > 1 || !hold.is_over(now));
        }
    }

    fn is_young(&self, now: Instant) -> bool {
        now.duration_since(self.began) < HOLD_AGENT
    }

    fn set(&self, hostname: &Hostname, serving: Serving) {
        if let Some(hold) = self.find(hostname) {
            hold.serving.send_replace(serving);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hostname, Arc<Hold>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    fn new(serving: Serving, born: Instant) -> Arc<Self> {
        Arc::new(Self {
            serving: watch::Sender::new(serving),
            requests: Semaphore::new(HELD_PER_ENDPOINT_MAX),
            tenant: OnceLock::new(),
            turn: Arc::new(Semaphore::new(1)),
            born,
            answered_ms: AtomicU64::new(0),
            answered: Notify::new(),
        })
    }

    /// A tunnel serves the endpoint from now on.
    pub(crate) fn bound(&self) {
        self.serving.send_replace(Serving::Bound);
    }

    /// The upstream has just taken a connection or answered a request.
    pub(crate) fn upstream_answered(&self) {
        let since_born = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered_ms.store(since_born.saturating_add(1), Ordering::Relaxed);
        self.answered.notify_waiters();
    }

    /// Whether the upstream has answered within the last `age`.
    pub(crate) fn has_answered_within(&self, age: Duration) -> bool {
        let Some(answered_ms) = self.answered_ms.load(Ordering::Relaxed).checked_sub(1) else { return false };
        self.born.elapsed().saturating_sub(Duration::from_millis(answered_ms)) <= age
    }

    /// Waits until `is_there`, which is asked whenever somebody binds. An agent that vanished is waited for until
    /// [`HOLD_AGENT`] after that, and at most until `until`; one that left in order is not.
    ///
    /// # Errors
    /// [`Expired`] when nobody came.
    pub(crate) async fn agent(
        &self,
        until: Instant,
        mut is_there: impl FnMut() -> bool,
    ) -> Result<Came, Expired> {
        let mut serving = self.serving.subscribe();
        let begun = Instant::now();
        let mut came = Came::AtOnce;
        loop {
            // Marked as seen before the look, so that a bind in between ends the wait.
            let now = *serving.borrow_and_update();
            if is_there() {
                return Ok(came);
            }
            came = Came::Later;
            let lost_at = match now {
                Serving::Released(_) => return Err(Expired),
                Serving::Vanished(at) => at,
                // Its session is dead, and the one who takes it out of the routes is about to.
                Serving::Bound => begun,
            };
            tokio::select! {
                changed = serving.changed() => changed.map_err(|_| Expired)?,
                () = sleep_until(until.min(lost_at + HOLD_AGENT)) => return Err(Expired),
            }
        }
    }

    /// Waits until it makes sense to try the upstream again, at most until `until`. Nobody tells the node that an
    /// upstream is back, so one request at a time asks, every [`REFUSED_LOOK`]: it gets a permit, to keep until it knows.
    /// The others go when that one was answered, or when another agent has bound.
    ///
    /// # Errors
    /// [`Expired`] when there was nothing until then.
    pub(crate) async fn upstream(&self, until: Instant) -> Result<Option<OwnedSemaphorePermit>, Expired> {
        let mut serving = self.serving.subscribe();
        let mut answered = pin!(self.answered.notified());
        answered.as_mut().enable();
        let look = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            sleep_until(until.min(Instant::now() + REFUSED_LOOK)).await;
            turn.ok()
        };
        tokio::select! {
            biased;
            () = answered => Ok(None),
            _ = serving.changed() => Ok(None),
            () = sleep_until(until) => Err(Expired),
            turn = look => Ok(turn),
        }
    }

    /// Whether nobody serves the endpoint, and somebody is expected back.
    pub(crate) fn is_vacant(&self) -> bool {
        matches!(*self.serving.borrow(), Serving::Vanished(at) if at.elapsed() < HOLD_AGENT)
    }

    /// Waits while an agent that has just vanished is expected back: until something has happened, or the time is over.
    pub(crate) async fn settled(&self) {
        let mut serving = self.serving.subscribe();
        let now = *serving.borrow_and_update();
        if let Serving::Vanished(at) = now {
            tokio::select! {
                _ = serving.changed() => {}
                () = sleep_until(at + HOLD_AGENT) => {}
            }
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        match *self.serving.borrow() {
            Serving::Bound => false,
            Serving::Vanished(at) | Serving::Released(at) => now.duration_since(at) >= HOLD_AGENT,
        }
    }
}

#[cfg(test)]
mod tests;
