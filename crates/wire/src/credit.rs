//! Credit: how much of a data stream the other side may send before more of it is read.
//!
//! `stream u32 | bytes u32`, one after the other on the credit stream. Every eight bytes are an entry.

/// Length of an entry in bytes.
pub const CREDIT_LEN: usize = 8;

/// One entry of the credit stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Credit {
    /// yamux's id of the data stream. 0 is none: such an entry says nothing.
    pub stream: u32,
    /// So many bytes more may be sent on it. 0 asks for more: the sender has used up all that it was given.
    pub bytes: u32,
}

impl Credit {
    /// An entry that says nothing. It announces the credit stream.
    pub const HELLO: Self = Self { stream: 0, bytes: 0 };

    /// The bytes of this entry.
    #[must_use]
    pub const fn encode(self) -> [u8; CREDIT_LEN] {
        let [s0, s1, s2, s3] = self.stream.to_le_bytes();
        let [b0, b1, b2, b3] = self.bytes.to_le_bytes();
        [s0, s1, s2, s3, b0, b1, b2, b3]
    }

    /// The entry in these bytes. All bytes are one.
    #[must_use]
    pub const fn decode(bytes: [u8; CREDIT_LEN]) -> Self {
        let [s0, s1, s2, s3, b0, b1, b2, b3] = bytes;
        Self { stream: u32::from_le_bytes([s0, s1, s2, s3]), bytes: u32::from_le_bytes([b0, b1, b2, b3]) }
    }
}
