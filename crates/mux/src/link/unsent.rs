//! The buffer for what is written.

use crate::limits::{COALESCED_BYTES_KEPT, COALESCED_BYTES_MAX};

/// Bytes that wait for one write.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    since_flush: usize,
}

impl Unsent {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.rest().len().saturating_add(more) <= COALESCED_BYTES_MAX
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.sent > 0 && self.bytes.len().saturating_add(bytes.len()) > COALESCED_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.since_flush = self.since_flush.saturating_add(bytes.len());
    }

    /// After a round with little to send, the memory of a busier time goes back.
    pub(super) fn flushed(&mut self) {
        if self.since_flush <= COALESCED_BYTES_KEPT && self.bytes.capacity() > COALESCED_BYTES_KEPT {
            self.bytes = Vec::new();
        }
        self.since_flush = 0;
    }

    pub(super) fn advance(&mut self, by: usize) {
        self.sent = self.sent.saturating_add(by);
        if self.rest().is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unsent;
    use crate::limits::{COALESCED_BYTES_KEPT, COALESCED_BYTES_MAX};

    #[test]
    fn the_buffer_takes_so_much_and_no_more() {
        let mut unsent = Unsent::default();
        unsent.append(&[0; 100]);
        for (more, fits) in [
            (COALESCED_BYTES_MAX - 101, true),
            (COALESCED_BYTES_MAX - 100, true),
            (COALESCED_BYTES_MAX - 99, false),
        ] {
            assert_eq!(unsent.has_room_for(more), fits);
        }
    }

    #[test]
    fn a_buffer_that_is_sent_in_part_keeps_order_and_bound() {
        let mut unsent = Unsent::default();
        unsent.append(&vec![1; COALESCED_BYTES_MAX - 1]);
        unsent.advance(10);
        unsent.append(&[2; 11]);
        assert_eq!(unsent.rest().len(), COALESCED_BYTES_MAX);
        assert!(unsent.rest().ends_with(&[2; 11]) && unsent.bytes.len() <= COALESCED_BYTES_MAX);
        unsent.advance(COALESCED_BYTES_MAX);
        assert!(unsent.rest().is_empty());
    }

    #[test]
    fn an_idle_connection_keeps_little() {
        let mut unsent = Unsent::default();
        unsent.append(&vec![1; COALESCED_BYTES_MAX]);
        unsent.advance(COALESCED_BYTES_MAX);
        unsent.flushed();
        assert!(unsent.bytes.capacity() >= COALESCED_BYTES_MAX, "a busy one keeps it");
        unsent.append(&[1; COALESCED_BYTES_KEPT]);
        unsent.advance(COALESCED_BYTES_KEPT);
        unsent.flushed();
        assert_eq!(unsent.bytes.capacity(), 0);
    }
}
