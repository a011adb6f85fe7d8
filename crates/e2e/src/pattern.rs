//! Bytes that look random, are known from a seed, and can be made and checked in any pieces.

use bytes::{Bytes, BytesMut};

/// An endless sequence of bytes that depends on its seed alone.
#[derive(Clone, Debug)]
pub struct Pattern {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Pattern {
    /// The sequence of this seed, from its begin.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed, word: [0; 8], used: 8 }
    }

    /// The next `count` bytes.
    #[must_use]
    pub fn take(&mut self, count: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(count);
        while bytes.len() < count {
            if self.used == self.word.len() {
                self.word = self.next_word().to_le_bytes();
                self.used = 0;
            }
            let part = self.word.get(self.used..).unwrap_or_default();
            let part = part.get(..part.len().min(count - bytes.len())).unwrap_or_default();
            bytes.extend_from_slice(part);
            self.used += part.len();
        }
        bytes.freeze()
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_word() % bound.max(1)
    }

    /// `SplitMix64`.
    fn next_word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn pieces_do_not_matter_and_seeds_do() {
        let whole = Pattern::new(7).take(1000);
        let mut pieces = Pattern::new(7);
        let joined = [1, 7, 8, 9, 975].map(|count| pieces.take(count)).concat();
        assert_eq!(whole, joined);
        assert_ne!(whole, Pattern::new(8).take(1000));
    }
}
