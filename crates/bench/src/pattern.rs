//! What bodies consist of: bytes that look random and are known at every offset.

use std::sync::Arc;

/// Bytes after which the sequence repeats. A prime, so that no buffer's size hides a shift.
const BLOCK_BYTES: usize = 262_139;

/// Bytes that are looked at in one place.
const SAMPLE_BYTES: usize = 8;

/// The bytes of every large body. Clones share them.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<[u8]>);

impl Pattern {
    /// The one sequence: driver and origin make the same.
    pub fn new() -> Self {
        let mut state: u64 = 0x0AD1_7BE2;
        let words = std::iter::repeat_with(|| next_word(&mut state).to_le_bytes());
        Self(words.flatten().take(BLOCK_BYTES).collect())
    }

    /// The bytes from an offset of the body to the end of a block; never empty.
    pub fn from(&self, offset: u64) -> &[u8] {
        let start = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or_default();
        self.0.get(start..).unwrap_or_default()
    }

    /// Whether bytes that arrived for an offset are the right ones, looked at in their first and last few: cheap enough
    /// not to be measured, and enough to see what was lost, doubled or mixed up.
    pub fn looks_right(&self, offset: u64, bytes: &[u8]) -> bool {
        let sample = bytes.len().min(SAMPLE_BYTES);
        let last = bytes.len() - sample;
        self.fits(offset, bytes.get(..sample).unwrap_or_default())
            && self.fits(offset + last as u64, bytes.get(last..).unwrap_or_default())
    }

    fn fits(&self, offset: u64, bytes: &[u8]) -> bool {
        let expected = self.from(offset);
        let (here, rest) = bytes.split_at(bytes.len().min(expected.len()));
        expected.starts_with(here) && (rest.is_empty() || self.fits(offset + here.len() as u64, rest))
    }
}

/// `SplitMix64`.
const fn next_word(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, Pattern};

    fn bytes(pattern: &Pattern, offset: u64, count: usize) -> Vec<u8> {
        (offset..).take(count).filter_map(|at| pattern.from(at).first().copied()).collect()
    }

    #[test]
    fn the_right_bytes_pass_at_every_offset_and_size() {
        let pattern = Pattern::new();
        for offset in [0, 1, BLOCK_BYTES as u64 - 3, BLOCK_BYTES as u64, 1 << 40] {
            for count in [0, 1, 7, 8, 9, 40] {
                assert!(pattern.looks_right(offset, &bytes(&pattern, offset, count)), "{offset} {count}");
            }
        }
    }

    #[test]
    fn a_shift_and_a_wrong_end_are_seen() {
        let pattern = Pattern::new();
        let right = bytes(&pattern, 100, 40);
        assert!(!pattern.looks_right(101, &right));
        assert!(!pattern.looks_right(100 + 65_536, &right));
        let mut wrong_at_the_end = right;
        wrong_at_the_end.rotate_right(3);
        assert!(!pattern.looks_right(100, &wrong_at_the_end));
    }
}
