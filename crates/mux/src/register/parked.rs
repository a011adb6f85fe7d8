//! One stream as the connection sees it: who waits on it, what it may still send and be sent.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use adit_wire::{
    credit::Credit,
    limits::{FRAME_CREDIT_BYTES, INITIAL_CREDIT_BYTES},
};
use futures::task::AtomicWaker;

use crate::{budget::Grant, limits::SERVICE_UNREAD_BYTES_MAX, lock::lock};

/// The peer has sent more on a stream than it was allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun;

/// The tasks that wait on one stream, whether the peer has reset it, and the credit of both directions. yamux wakes the
/// tasks too, but neither after `poll_close` nor after a panic, and it tells a reset only to who asks at the right moment.
#[derive(Debug)]
pub(crate) struct Parked {
    id: u32,
    pub(crate) reader: AtomicWaker,
    pub(crate) writer: AtomicWaker,
    is_reset: AtomicBool,
    inward: Inward,
    outward: Outward,
    due: Due,
    /// What it may hold.
    memory: Mutex<Option<Grant>>,
}

/// What the peer sends. A frame costs the bytes of its body and [`FRAME_CREDIT_BYTES`].
#[derive(Debug)]
struct Inward {
    received: AtomicU64,
    allowed: AtomicU64,
    /// The peer would send more if it might.
    is_wanted: AtomicBool,
}

/// What we send.
#[derive(Debug)]
struct Outward {
    credit: AtomicU64,
    has_asked: AtomicBool,
    /// Frames that yamux has not written yet.
    queued_frames: AtomicUsize,
    waits_for_queue: AtomicBool,
}

/// What the peer is to be told about the stream.
#[derive(Debug, Default)]
struct Due {
    is_listed: AtomicBool,
    bytes: AtomicU64,
    asks: AtomicBool,
}

impl Parked {
    pub(crate) fn new(id: u32) -> Self {
        Self::with(id, wide(INITIAL_CREDIT_BYTES))
    }

    /// A stream without credit: its reader is the driver, which always reads.
    pub(crate) fn of_service(id: u32) -> Self {
        Self::with(id, wide(SERVICE_UNREAD_BYTES_MAX))
    }

    fn with(id: u32, allowed: u64) -> Self {
        Self {
            id,
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            is_reset: AtomicBool::new(false),
            inward: Inward {
                received: AtomicU64::new(0),
                allowed: AtomicU64::new(allowed),
                is_wanted: AtomicBool::new(false),
            },
            outward: Outward {
                credit: AtomicU64::new(wide(INITIAL_CREDIT_BYTES)),
                has_asked: AtomicBool::new(false),
                queued_frames: AtomicUsize::new(0),
                waits_for_queue: AtomicBool::new(false),
            },
            due: Due::default(),
            memory: Mutex::default(),
        }
    }

    /// Keeps this memory for as long as the stream is known.
    pub(crate) fn keep(&self, memory: Grant) {
        *lock(&self.memory) = Some(memory);
    }

    /// Takes more memory, if that leaves enough for new streams.
    pub(crate) fn grow(&self, bytes: usize) -> bool {
        lock(&self.memory).as_mut().is_some_and(|memory| memory.grow(bytes))
    }

    /// Gives memory back.
    pub(crate) fn shrink(&self, bytes: usize) {
        if let Some(memory) = lock(&self.memory).as_mut() {
            memory.shrink(bytes);
        }
    }

    /// Whether new streams will soon be refused for lack of memory.
    pub(crate) fn is_memory_short(&self) -> bool {
        lock(&self.memory).as_ref().is_some_and(Grant::is_short)
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::Acquire)
    }

    pub(super) fn reset(&self) {
        self.is_reset.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }

    /// Counts a frame of the peer. Nobody but the connection's driver calls it.
    pub(super) fn arrive(&self, body_bytes: usize) -> Result<(), Overrun> {
        let cost = wide(frame_cost(body_bytes));
        let before = self.inward.received.fetch_add(cost, Ordering::AcqRel);
        let is_allowed = before.saturating_add(cost) <= self.inward.allowed.load(Ordering::Acquire);
        if is_allowed { Ok(()) } else { Err(Overrun) }
    }

    /// What has arrived is gone from memory, so the peer may send as much again. It is not told by this.
    pub(crate) fn allow(&self, bytes: usize) {
        self.inward.allowed.fetch_add(wide(bytes), Ordering::AcqRel);
    }

    /// Whether the peer has asked for more than its window, since [`Parked::was_given`] a wider one.
    pub(crate) fn is_wanted(&self) -> bool {
        self.inward.is_wanted.load(Ordering::Acquire)
    }

    pub(crate) fn was_given(&self) {
        self.inward.is_wanted.store(false, Ordering::Release);
    }

    /// How many bytes the next frame may have, as far as credit goes.
    pub(crate) fn bytes_sendable(&self) -> usize {
        let credit = self.outward.credit.load(Ordering::Acquire).saturating_sub(wide(FRAME_CREDIT_BYTES));
        usize::try_from(credit).unwrap_or(usize::MAX)
    }

    /// Whether another frame may be sent, as far as credit goes.
    pub(crate) fn has_credit(&self) -> bool {
        self.bytes_sendable() > 0
    }

    /// Whether so many frames wait for the connection. The writer is woken once one has left.
    pub(crate) fn is_queue_full(&self, frames_max: usize) -> bool {
        let outward = &self.outward;
        if outward.queued_frames.load(Ordering::SeqCst) < frames_max {
            return false;
        }
        outward.waits_for_queue.store(true, Ordering::SeqCst);
        outward.queued_frames.load(Ordering::SeqCst) >= frames_max
    }

    /// yamux is about to take a frame, which may have left before this side looks again.
    pub(crate) fn sending(&self) {
        self.outward.queued_frames.fetch_add(1, Ordering::SeqCst);
    }

    /// yamux took none.
    pub(crate) fn not_sent(&self) {
        self.unqueue();
    }

    /// yamux has taken a frame. Only the writer calls it, with no more than [`Parked::bytes_sendable`].
    pub(crate) fn sent(&self, body_bytes: usize) {
        let cost = wide(frame_cost(body_bytes));
        let less = |credit: u64| Some(credit.saturating_sub(cost));
        let _ = self.outward.credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// A frame is on its way.
    pub(super) fn depart(&self) {
        self.unqueue();
        if self.outward.waits_for_queue.swap(false, Ordering::SeqCst) {
            self.writer.wake();
        }
    }

    fn unqueue(&self) {
        let less = |queued: usize| queued.checked_sub(1);
        let _ = self.outward.queued_frames.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    }

    /// The peer gives so many bytes, or asks for more if it is none.
    pub(super) fn hear(&self, bytes: u32) {
        if bytes == 0 {
            self.inward.is_wanted.store(true, Ordering::Release);
            self.reader.wake();
            return;
        }
        let more = |credit: u64| Some(credit.saturating_add(bytes.into()));
        let _ = self.outward.credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        self.outward.has_asked.store(false, Ordering::Release);
        self.writer.wake();
    }

    /// The peer is to be told that it may send more.
    pub(crate) fn owe_bytes(&self, bytes: usize) {
        self.due.bytes.fetch_add(wide(bytes), Ordering::AcqRel);
    }

    /// The peer is to be asked for more; `false` if it has been since it gave something.
    pub(crate) fn owe_question(&self) -> bool {
        let is_first = !self.outward.has_asked.swap(true, Ordering::AcqRel);
        if is_first {
            self.due.asks.store(true, Ordering::Release);
        }
        is_first
    }

    /// Whether it was not listed before. Called under the lock of the list.
    pub(super) fn list(&self) -> bool {
        !self.due.is_listed.swap(true, Ordering::AcqRel)
    }

    /// What is due. Called under the lock of the list.
    pub(super) fn unlist(&self) -> [Option<Credit>; 2] {
        self.due.is_listed.store(false, Ordering::Release);
        let stream = self.id;
        let bytes = u32::try_from(self.due.bytes.swap(0, Ordering::AcqRel)).unwrap_or(u32::MAX);
        let asks = self.due.asks.swap(false, Ordering::AcqRel);
        [(bytes > 0).then_some(Credit { stream, bytes }), asks.then_some(Credit { stream, bytes: 0 })]
    }
}

/// What a frame takes from the credit of its stream.
pub(crate) fn frame_cost(body_bytes: usize) -> usize {
    if body_bytes == 0 { 0 } else { body_bytes.saturating_add(FRAME_CREDIT_BYTES) }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use adit_wire::{
        credit::Credit,
        limits::{FRAME_CREDIT_BYTES, INITIAL_CREDIT_BYTES},
    };

    use super::{Overrun, Parked};

    #[test]
    fn a_frame_fits_the_credit_or_overruns_it() {
        let most = INITIAL_CREDIT_BYTES - FRAME_CREDIT_BYTES;
        for (body, verdict) in [(most - 1, Ok(())), (most, Ok(())), (most + 1, Err(Overrun))] {
            assert_eq!(Parked::new(2).arrive(body), verdict, "{body}");
        }
    }

    #[test]
    fn frames_of_one_byte_cost_what_they_take() {
        let stream = Parked::new(2);
        let fit = INITIAL_CREDIT_BYTES / (1 + FRAME_CREDIT_BYTES);
        assert!((0..fit).all(|_| stream.arrive(1).is_ok()));
        assert_eq!(stream.arrive(1), Err(Overrun));
        assert_eq!(Parked::new(2).arrive(0), Ok(()));
    }

    #[test]
    fn what_was_read_may_be_sent_again() {
        let stream = Parked::new(2);
        assert_eq!(stream.arrive(INITIAL_CREDIT_BYTES - FRAME_CREDIT_BYTES), Ok(()));
        stream.allow(1_000);
        assert_eq!(stream.arrive(1_000 - FRAME_CREDIT_BYTES), Ok(()));
        assert_eq!(stream.arrive(1), Err(Overrun));
    }

    #[test]
    fn the_writer_stays_within_what_it_was_given() {
        let stream = Parked::new(2);
        assert_eq!(stream.bytes_sendable(), INITIAL_CREDIT_BYTES - FRAME_CREDIT_BYTES);
        stream.sent(INITIAL_CREDIT_BYTES - 2 * FRAME_CREDIT_BYTES);
        assert_eq!(stream.bytes_sendable(), 0, "what is left is less than a frame costs by itself");
        assert!(stream.owe_question() && !stream.owe_question(), "it asks once");
        stream.hear(1);
        assert_eq!(stream.bytes_sendable(), 1);
        assert!(stream.owe_question(), "and once more when it was given something");
        stream.hear(u32::MAX);
        stream.hear(u32::MAX);
        assert!(stream.bytes_sendable() > 0, "no overflow");
    }

    #[test]
    fn queued_frames_are_counted_until_they_leave() {
        let stream = Parked::new(2);
        for queued in 0..3 {
            assert_eq!([1, 2, 3].map(|max| stream.is_queue_full(max)), [1, 2, 3].map(|max| queued >= max));
            stream.sending();
        }
        stream.depart();
        assert!(stream.is_queue_full(2) && !stream.is_queue_full(3));
        (0..5).for_each(|_| stream.depart());
        assert!(!stream.is_queue_full(1));
    }

    #[test]
    fn what_is_due_is_told_together_and_once() {
        let stream = Parked::new(8);
        assert!(stream.list() && !stream.list());
        stream.owe_bytes(70);
        stream.owe_bytes(7);
        assert!(stream.owe_question());
        let told = [Some(Credit { stream: 8, bytes: 77 }), Some(Credit { stream: 8, bytes: 0 })];
        assert_eq!(stream.unlist(), told);
        assert_eq!(stream.unlist(), [None, None]);
        assert!(stream.list());
    }
}
