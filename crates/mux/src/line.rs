//! What is known of the connection below the streams.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::lock::lock;

/// Written by the driver, read by every stream.
#[derive(Debug)]
pub(crate) struct Line {
    is_blocked: AtomicBool,
    round_trip_us: AtomicU64,
    /// Bytes that the peer has sent so far.
    heard: AtomicU64,
    question: Mutex<Option<Question>>,
}

/// Something that the peer answers at once, if it is there: a ping, or a stream.
#[derive(Debug, Clone, Copy)]
struct Question {
    /// What had been heard of the peer when it was asked.
    heard: u64,
    at: Instant,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            is_blocked: AtomicBool::new(false),
            round_trip_us: AtomicU64::new(u64::MAX),
            heard: AtomicU64::new(0),
            question: Mutex::default(),
        }
    }
}

impl Line {
    /// Whether the last write found no room.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Notes a round trip. The shortest one counts: longer ones measure our own queues.
    pub(crate) fn measured(&self, round_trip: Duration) {
        let us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.round_trip_us.fetch_min(us, Ordering::Relaxed);
    }

    /// The shortest round trip so far.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let us = self.round_trip_us.load(Ordering::Relaxed);
        (us < u64::MAX).then(|| Duration::from_micros(us))
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
}
