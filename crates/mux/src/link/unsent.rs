//! The buffer for what is written.

use std::cell::Cell;

use crate::limits::COALESCED_BYTES_MAX;

thread_local! {
    /// The buffer that no connection of this thread uses now: most are flushed before the next one has something to say.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that wait for one write. The buffer is borrowed while there are any: a node has thousands of connections.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.rest().len().saturating_add(more) <= COALESCED_BYTES_MAX
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        if self.sent > 0 && self.bytes.len().saturating_add(bytes.len()) > COALESCED_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn advance(&mut self, by: usize) {
        self.sent = self.sent.saturating_add(by);
        if self.rest().is_empty() {
            let mut spare = std::mem::take(&mut self.bytes);
            spare.clear();
            // A thread that ends keeps none.
            let _ = SPARE.try_with(|held| held.set(spare));
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unsent;
    use crate::limits::COALESCED_BYTES_MAX;

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
    fn an_idle_connection_keeps_nothing() {
        let (mut one, mut other) = (Unsent::default(), Unsent::default());
        for unsent in [&mut one, &mut other] {
            unsent.append(&vec![1; COALESCED_BYTES_MAX]);
            unsent.advance(COALESCED_BYTES_MAX - 1);
            assert_eq!(unsent.rest(), [1]);
            unsent.advance(1);
            assert_eq!(unsent.bytes.capacity(), 0);
        }
        one.append(&[2]);
        assert!(one.bytes.capacity() >= COALESCED_BYTES_MAX, "the buffer is used again");
        assert_eq!(one.rest(), [2]);
    }
}
