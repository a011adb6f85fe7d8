//! What the driver, the session and every stream of one connection share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::task::AtomicWaker;
use tokio::{sync::watch, time::Instant};

use crate::close::{CloseReason, Closed};

/// State of one connection that outlives a single poll of the driver. Holds no stream and no I/O.
#[derive(Debug)]
pub(crate) struct Shared {
    streams_max: usize,
    streams: AtomicUsize,
    busy: AtomicUsize,
    parked: Mutex<HashMap<u32, Arc<Parked>>>,
    asked: Mutex<Option<&'static str>>,
    is_closed: AtomicBool,
    /// Bytes that the peer has sent so far.
    heard: AtomicU64,
    question: Mutex<Option<Question>>,
    reason: watch::Sender<Option<CloseReason>>,
    driver: AtomicWaker,
}

/// Something that the peer answers at once, if it is there: a ping, or a stream.
#[derive(Debug, Clone, Copy)]
struct Question {
    /// What had been heard of the peer when it was asked.
    heard: u64,
    at: Instant,
}

/// The tasks that wait on one stream, and whether the peer has reset it. yamux wakes them too, but neither after
/// `poll_close` nor after a panic, and it tells a reset only to who asks at the right moment.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    pub(crate) reader: AtomicWaker,
    pub(crate) writer: AtomicWaker,
    reset: AtomicBool,
}

impl Parked {
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Shared {
    pub(crate) fn new(streams_max: usize) -> Arc<Self> {
        Arc::new(Self {
            streams_max,
            streams: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            parked: Mutex::default(),
            asked: Mutex::default(),
            is_closed: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            question: Mutex::default(),
            reason: watch::Sender::new(None),
            driver: AtomicWaker::new(),
        })
    }

    /// Takes a place for one stream, or `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let grown = |streams: usize| streams.checked_add(1).filter(|grown| *grown <= self.streams_max);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).ok()?;
        Some(Place(Arc::clone(self)))
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

    /// Notes how many bytes the peer has sent so far.
    pub(crate) fn hear(&self, bytes: u64) {
        self.heard.store(bytes, Ordering::Relaxed);
    }

    /// Notes that the peer was asked something that it answers at once.
    pub(crate) fn ask(&self) {
        let heard = self.heard.load(Ordering::Relaxed);
        let mut question = lock(&self.question);
        if question.is_none_or(|asked| asked.heard != heard) {
            *question = Some(Question { heard, at: Instant::now() });
        }
    }

    /// For how long the peer has been asked without sending a byte.
    pub(crate) fn unanswered_for(&self) -> Duration {
        let heard = self.heard.load(Ordering::Relaxed);
        let waiting = lock(&self.question).filter(|asked| asked.heard == heard);
        waiting.map_or(Duration::ZERO, |asked| asked.at.elapsed())
    }

    pub(crate) fn has_room(&self) -> bool {
        self.streams() < self.streams_max
    }

    /// Called by the connection when the peer's RST for `id` goes by.
    pub(crate) fn reset(&self, id: u32) {
        let parked = lock(&self.parked).get(&id).cloned();
        if let Some(parked) = parked {
            parked.reset.store(true, Ordering::Release);
            parked.wake();
        }
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

    pub(crate) fn register_driver(&self, waker: &std::task::Waker) {
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
        let parked: Vec<_> = lock(&self.parked).values().cloned().collect();
        for stream in parked {
            stream.wake();
        }
    }
}

/// One stream's place in the gate; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place(Arc<Shared>);

impl Place {
    /// Makes the stream with this id known, so that resets and the end of the connection reach it.
    pub(crate) fn seat(self, id: u32) -> Seat {
        let parked = Arc::new(Parked::default());
        lock(&self.0.parked).insert(id, Arc::clone(&parked));
        Seat { id, parked, place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The place of a stream that has an id.
#[derive(Debug)]
pub(crate) struct Seat {
    id: u32,
    parked: Arc<Parked>,
    place: Place,
}

impl Seat {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.place.0
    }

    pub(crate) fn parked(&self) -> &Parked {
        &self.parked
    }

    /// Whether the peer or the connection has ended this stream without a word.
    pub(crate) fn is_severed(&self) -> bool {
        self.parked.is_reset() || self.shared().is_closed()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.shared().parked).remove(&self.id);
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

/// No critical section here can leave the value half changed, so a poisoned lock is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
