//! Both ends of a conversation that goes on until it is told to end: what is said is known, and what is heard is compared
//! with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_e2e::Pattern;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

/// What is said at once, and how often.
const PIECE_BYTES: usize = 1_500;
const SAID_EVERY: Duration = Duration::from_millis(5);

/// How often a slow reader reads.
const READ_EVERY: Duration = Duration::from_millis(100);

/// What all conversations of a set do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Course {
    /// They talk, and slow readers are slow.
    On,
    /// Nobody says anything any more, and everybody listens.
    Still,
    /// As before, and slow readers read as fast as they can, so that what they have before them is not in their way.
    Fast,
    /// They come to their end, in order.
    End,
}

/// What is said.
pub(super) struct Mouth {
    course: watch::Receiver<Course>,
    is_still: bool,
    pattern: Pattern,
    pace: Interval,
}

impl Mouth {
    pub(super) fn new(seed: u64, course: watch::Receiver<Course>) -> Self {
        Self { course, is_still: false, pattern: Pattern::new(seed), pace: pace(SAID_EVERY) }
    }

    /// The next piece, in its time; none when the end has come.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.pace.tick().await;
        let now = *self.course.borrow_and_update();
        self.is_still = now == Course::Still || (self.is_still && now == Course::Fast);
        if self.is_still {
            self.course.wait_for(|now| *now == Course::End).await.ok()?;
        }
        (*self.course.borrow() != Course::End).then(|| self.pattern.take(PIECE_BYTES))
    }
}

/// What is heard, and must be a part of what was said, from its begin.
pub(super) struct Ear {
    course: watch::Receiver<Course>,
    pattern: Pattern,
    pace: Interval,
    pub(super) heard: Heard,
}

/// How much, and the first byte that differs.
#[derive(Clone, Default)]
pub(super) struct Heard {
    bytes: Arc<AtomicU64>,
    wrong: Arc<OnceLock<String>>,
}

impl Ear {
    pub(super) fn new(seed: u64, course: watch::Receiver<Course>) -> Self {
        Self { course, pattern: Pattern::new(seed), pace: pace(READ_EVERY), heard: Heard::default() }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let expected = self.pattern.take(bytes.len());
        let before = self.heard.bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        if let Some(at) = expected.iter().zip(bytes).position(|(expected, byte)| expected != byte) {
            // The first is kept.
            drop(self.heard.wrong.set(format!("byte {}", before + at as u64)));
        }
    }

    /// The pace of a slow reader.
    pub(super) async fn beat(&mut self) {
        let is_fast = |now: &Course| matches!(now, Course::Fast | Course::End);
        tokio::select! {
            _ = self.pace.tick() => {}
            _ = self.course.wait_for(is_fast) => {}
        }
    }
}

impl Heard {
    /// So much has come so far where somebody else has compared it.
    pub(super) fn came(&self, bytes: u64, differs: Option<String>) {
        self.bytes.store(bytes, Ordering::SeqCst);
        drop(differs.map(|differs| self.wrong.set(differs)));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.get().cloned()
    }
}

fn pace(every: Duration) -> Interval {
    let mut pace = tokio::time::interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

#[tokio::test]
async fn a_byte_that_was_not_said_is_found() {
    let (course, told) = watch::channel(Course::On);
    let (mut mouth, mut ear) = (Mouth::new(1, told.clone()), Ear::new(1, told));
    let said = mouth.next().await.unwrap_or_default();
    ear.hear(&said);
    assert_eq!((ear.heard.bytes(), ear.heard.wrong()), (PIECE_BYTES as u64, None));
    let mut said = mouth.next().await.unwrap_or_default().to_vec();
    said[7] ^= 1;
    ear.hear(&said);
    ear.hear(&said);
    assert_eq!(ear.heard.wrong(), Some("byte 1507".to_owned()));
    course.send_replace(Course::End);
    assert_eq!(mouth.next().await, None);
}
