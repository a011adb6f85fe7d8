//! Where interim responses may be written: between hyper's messages, and nowhere else.
//!
//! hyper flushes its transport when nothing is left of what it had to write, so a flush is such a place: no response is under
//! way there, or its head has gone and with it the time for interim ones. The first bytes that hyper writes after a flush are
//! the other place, right before them.

use std::sync::Arc;
use std::task::Waker;

use crate::interim::Lane;

pub(super) struct Interlude {
    lane: Arc<Lane>,
    bytes: Vec<u8>,
    written: usize,
    /// hyper has written all that it had, and nothing since.
    is_between: bool,
}

impl Interlude {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane, bytes: Vec::new(), written: 0, is_between: true }
    }

    /// hyper has nothing left to write.
    pub(super) fn flushed(&mut self, connection: &Waker) {
        self.is_between = true;
        self.lane.wake(connection);
    }

    /// What is to be written now, as hyper has nothing to write.
    pub(super) fn left(&mut self) -> &[u8] {
        if self.bytes.is_empty() {
            self.bytes = self.lane.take().unwrap_or_default();
        }
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// What is to be written now, before what hyper writes. When it is empty hyper goes on.
    pub(super) fn before_bytes(&mut self) -> &[u8] {
        if !self.is_between {
            self.lane.miss();
            return &[];
        }
        if self.left().is_empty() {
            self.is_between = false;
            return &[];
        }
        self.left()
    }

    /// So much of it was written.
    pub(super) fn advance(&mut self, written: usize) {
        self.written = self.written.saturating_add(written);
        if self.written >= self.bytes.len() {
            self.bytes = Vec::new();
            self.written = 0;
        }
    }
}
