//! One line of an HTTP/1 message, as a second reader of message boundaries keeps it.

/// The longest start of a line that is looked at: `content-length:` and 20 digits fit with room for spaces.
const LINE_PREFIX_BYTES: usize = 64;

/// The line being read: its start, folded to lower case, and whether it is longer than that.
pub(crate) struct Line {
    prefix: [u8; LINE_PREFIX_BYTES],
    used: usize,
    overflowed: bool,
    ends_with_cr: bool,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { prefix: [0; LINE_PREFIX_BYTES], used: 0, overflowed: false, ends_with_cr: false }
    }

    /// A piece of the line, without its line feed.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.ends_with_cr = *last == b'\r';
        let room = self.prefix.get_mut(self.used..).unwrap_or_default();
        for (slot, byte) in room.iter_mut().zip(bytes) {
            *slot = byte.to_ascii_lowercase();
        }
        self.overflowed |= bytes.len() > room.len();
        self.used = self.used.saturating_add(bytes.len()).min(LINE_PREFIX_BYTES);
    }

    /// Whether the line, as far as it came, ends with CR.
    pub(crate) fn ends_with_cr(&self) -> bool {
        self.ends_with_cr
    }

    /// Whether the line is longer than what is kept of it.
    pub(crate) fn is_cut(&self) -> bool {
        self.overflowed
    }

    /// The text without its CR, cut at the prefix's size.
    pub(crate) fn text(&self) -> &[u8] {
        let text = self.prefix.get(..self.used).unwrap_or_default();
        if self.overflowed { text } else { text.strip_suffix(b"\r").unwrap_or(text) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_empty()
    }

    /// What follows `name`, which is given in lower case and with its colon.
    pub(crate) fn value_of(&self, name: &[u8]) -> Option<&[u8]> {
        self.text().strip_prefix(name)
    }

    /// The size that starts a chunk's line; what follows the digits is not looked at.
    pub(crate) fn chunk_bytes(&self) -> Option<u64> {
        let text = self.text();
        let digits = text.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(text.len());
        if digits == LINE_PREFIX_BYTES {
            return None;
        }
        let digits = str::from_utf8(text.get(..digits)?).ok()?;
        u64::from_str_radix(digits, 16).ok()
    }
}

/// A number of nothing but digits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}
