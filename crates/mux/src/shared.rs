//! What the driver, the session and every stream of one connection share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
};

use futures::task::AtomicWaker;
use tokio::sync::watch;

use crate::{
    budget::{Budget, Grant},
    close::{CloseReason, Closed},
    config::Config,
    lifetime::Lifetime,
    limits::{QUEUE_FRAMES_ALONE, QUEUE_FRAMES_SHARED, SESSION_STREAM_BYTES_MAX, STREAM_BYTES_RESERVED},
    line::Line,
    lock::lock,
    register::{Parked, Register},
};

/// State of one connection that outlives a single poll of the driver. Holds no stream and no I/O.
#[derive(Debug)]
pub(crate) struct Shared {
    streams_max: usize,
    streams: AtomicUsize,
    busy: AtomicUsize,
    budget: Budget,
    pub(crate) register: Register,
    pub(crate) line: Line,
    pub(crate) lifetime: Lifetime,
    asked: Mutex<Option<&'static str>>,
    is_closed: AtomicBool,
    reason: watch::Sender<Option<CloseReason>>,
    driver: AtomicWaker,
}

impl Shared {
    pub(crate) fn new(streams_max: usize, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            streams_max,
            streams: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            budget: config.budget.part(SESSION_STREAM_BYTES_MAX),
            register: Register::new(),
            line: Line::default(),
            lifetime: Lifetime::new(config.streams_opened_in_all),
            asked: Mutex::default(),
            is_closed: AtomicBool::new(false),
            reason: watch::Sender::new(None),
            driver: AtomicWaker::new(),
        })
    }

    /// Takes a place for one stream and the memory that it may need, or `None` when either is used up.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let grown = |streams: usize| streams.checked_add(1).filter(|grown| *grown <= self.streams_max);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).ok()?;
        // Dropped, it leaves the gate again.
        let gate = Gate(Arc::clone(self));
        let memory = self.budget.admit(STREAM_BYTES_RESERVED)?;
        Some(Place { gate, memory })
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// Streams with bytes under way, which decides how large records are.
    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    pub(crate) fn add_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_busy(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn has_room(&self) -> bool {
        self.streams() < self.streams_max
    }

    /// Frames of one stream that may wait for the connection.
    fn queue_frames_max(&self) -> usize {
        if self.busy() > 1 || self.line.is_blocked() { QUEUE_FRAMES_SHARED } else { QUEUE_FRAMES_ALONE }
    }

    /// Asks the driver to end the connection. The first word wins.
    pub(crate) fn ask_to_close(&self, why: &'static str) {
        lock(&self.asked).get_or_insert(why);
        self.driver.wake();
    }

    pub(crate) fn asked_to_close(&self) -> Option<&'static str> {
        *lock(&self.asked)
    }

    pub(crate) fn wake_driver(&self) {
        self.driver.wake();
    }

    pub(crate) fn register_driver(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn closed(&self) -> Closed {
        Closed::new(self.reason.subscribe())
    }

    pub(crate) fn reason(&self) -> CloseReason {
        self.reason.borrow().clone().unwrap_or(CloseReason::Dropped)
    }

    /// Ends everything that waits on this connection. Only the first call has an effect.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.reason.send_if_modified(|held| {
            let first = held.is_none();
            held.get_or_insert(reason);
            first
        });
        self.is_closed.store(true, Ordering::Release);
        for stream in self.register.all() {
            stream.wake();
        }
    }
}

/// One stream's place in the gate, with its share of memory; dropping it frees both.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Gate,
    memory: Grant,
}

/// Counts as an open stream until it is dropped.
#[derive(Debug)]
struct Gate(Arc<Shared>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Makes a stream known by its id for as long as this lives, and until yamux has forgotten it: its frames are counted,
/// and resets and the end of the connection reach it.
#[derive(Debug)]
pub(crate) struct Known {
    shared: Arc<Shared>,
    parked: Arc<Parked>,
}

impl Known {
    pub(crate) fn new(shared: &Arc<Shared>, id: u32) -> Self {
        Self { shared: Arc::clone(shared), parked: shared.register.enter(id) }
    }

    pub(crate) fn seat(self, place: Place) -> Seat {
        let Place { gate, memory } = place;
        // Longer than the stream: what it holds is gone only when yamux has forgotten it.
        self.parked.keep(memory);
        Seat { known: self, _gate: gate }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let id = self.parked.id();
        // After the end there is no driver to do it.
        if self.shared.is_closed() {
            self.shared.register.forget(&[id]);
        } else {
            self.shared.register.leave(id);
        }
    }
}

/// The place of a stream that has an id.
#[derive(Debug)]
pub(crate) struct Seat {
    known: Known,
    _gate: Gate,
}

impl Seat {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.known.shared
    }

    pub(crate) fn parked(&self) -> &Parked {
        &self.known.parked
    }

    /// Whether the peer or the connection has ended this stream without a word.
    pub(crate) fn is_severed(&self) -> bool {
        self.parked().is_reset() || self.shared().is_closed()
    }

    /// How many bytes the next frame may have; `None` while that is less than `least`, or the connection takes no more.
    /// The writer is woken when that changes, and the peer is asked.
    pub(crate) fn room(&self, least: usize) -> Option<usize> {
        if self.parked().is_queue_full(self.shared().queue_frames_max()) {
            return None;
        }
        let bytes = self.parked().bytes_sendable();
        let is_enough = bytes > 0 && bytes >= least;
        if !is_enough && self.parked().owe_question() {
            self.owe();
        }
        is_enough.then_some(bytes)
    }

    /// Lets the peer send so many bytes more.
    pub(crate) fn give(&self, bytes: usize) {
        self.parked().allow(bytes);
        self.parked().owe_bytes(bytes);
        self.owe();
    }

    fn owe(&self) {
        if self.shared().register.owe(&self.known.parked) {
            self.shared().wake_driver();
        }
    }
}

/// Ends the connection for everybody when its driver goes, however it goes.
#[derive(Debug)]
pub(crate) struct Teardown(pub(crate) Arc<Shared>);

impl Drop for Teardown {
    fn drop(&mut self) {
        self.0.close(CloseReason::Dropped);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;

    use super::{Known, Shared};
    use crate::{
        budget::Budget,
        config::Config,
        limits::{SESSION_STREAM_BYTES_MAX, STREAM_BYTES_RESERVED},
    };

    fn shared() -> (Arc<Shared>, Budget) {
        let budget = Budget::new(SESSION_STREAM_BYTES_MAX);
        (Shared::new(4, &Config { budget: budget.clone(), ..Config::default() }), budget)
    }

    #[test]
    fn memory_is_free_when_yamux_has_forgotten_the_stream() {
        let (shared, budget) = shared();
        let seat = Known::new(&shared, 2).seat(shared.enter().unwrap());
        assert!(seat.parked().grow(1_000));
        drop(seat);
        assert_eq!((shared.streams(), budget.used_bytes()), (0, STREAM_BYTES_RESERVED + 1_000));
        let gone = shared.register.take_gone();
        shared.register.forget(&gone);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn what_is_dropped_after_the_end_is_free_at_once() {
        let (shared, budget) = shared();
        let seat = Known::new(&shared, 2).seat(shared.enter().unwrap());
        shared.close(crate::close::CloseReason::PeerLeft);
        drop(seat);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn without_memory_there_is_no_place() {
        let (shared, budget) = shared();
        let held = budget.admit(SESSION_STREAM_BYTES_MAX - STREAM_BYTES_RESERVED + 1).unwrap();
        assert!(shared.enter().is_none());
        assert_eq!(shared.streams(), 0, "the gate is left again");
        drop(held);
        assert!(shared.enter().is_some());
    }
}
