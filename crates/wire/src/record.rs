//! Records: the pieces in which bytes travel on a data stream once its header was sent.
//!
//! `kind u8 | reserved u8 = 0 | body length u16`, then the body. Only *data*, *datagram* and *abort* have a body.

use thiserror::Error;

use crate::codes::codes;
use crate::limits::{DATAGRAM_BYTES_MAX, RECORD_DATA_BYTES_MAX};

/// Length of a record's header in bytes.
pub const RECORD_HEADER_LEN: usize = 4;

/// Length of an *abort* record's body in bytes: its code.
pub const ABORT_BODY_LEN: usize = 4;

/// Length of a whole *abort* record in bytes.
pub const ABORT_RECORD_LEN: usize = RECORD_HEADER_LEN + ABORT_BODY_LEN;

const ABORT_BODY_LEN_WIRE: u16 = 4;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecordKind {
    /// Bytes of the visitor or of the upstream.
    Data,
    /// This direction is complete; nothing follows in it.
    End,
    /// Both directions are over and incomplete. The body is the reason, an [`AbortCode`].
    Abort,
    /// From the agent: it has the stream.
    Accepted,
    /// From the agent: the upstream is connected; what the node sent is on its way there.
    Dialled,
    /// From the agent: the upstream refused the connection; it saw none of the stream's bytes.
    Refused,
    /// From the agent: the upstream did not answer the connection in time; it saw none of the stream's bytes.
    TimedOut,
    /// One whole datagram of the visitor or of the upstream.
    Datagram,
}

impl RecordKind {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::End => 2,
            Self::Abort => 3,
            Self::Accepted => 4,
            Self::Dialled => 5,
            Self::Refused => 6,
            Self::TimedOut => 7,
            Self::Datagram => 8,
        }
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Data),
            2 => Some(Self::End),
            3 => Some(Self::Abort),
            4 => Some(Self::Accepted),
            5 => Some(Self::Dialled),
            6 => Some(Self::Refused),
            7 => Some(Self::TimedOut),
            8 => Some(Self::Datagram),
            _ => None,
        }
    }
}

codes! {
    /// Why one side gave up a stream.
    pub enum AbortCode: u32 {
        /// No reason is given.
        Unspecified = 0 => "unspecified",
        /// The visitor's connection broke.
        VisitorGone = 1 => "visitor_gone",
        /// The upstream's connection broke.
        UpstreamBroken = 2 => "upstream_broken",
        /// The node has no more use for the stream.
        Cancelled = 3 => "cancelled",
        /// The API key or the capability was revoked.
        Revoked = 4 => "revoked",
        /// Another agent holds the endpoint now.
        Replaced = 5 => "replaced",
        /// The side is shutting down.
        Draining = 6 => "draining",
        /// No bytes moved for too long.
        Idle = 7 => "idle",
        /// The other side broke a rule of this protocol.
        Protocol = 8 => "protocol",
        /// A bound was reached.
        Limit = 9 => "limit",
        /// The agent does not hold the endpoint that the stream names, or not in that epoch.
        NotBound = 10 => "not_bound",
    }
}

/// The header of one record. It exists only with a length that its kind allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RecordHeader {
    kind: RecordKind,
    len: u16,
}

/// Why bytes are not the header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A kind without a meaning.
    #[error("record has the unknown kind {0}")]
    Kind(u8),
    /// The reserved byte is not zero.
    #[error("record has a reserved byte that is not zero")]
    Reserved,
    /// A length that the kind does not allow.
    #[error("record of kind {kind} has a body of {len} bytes")]
    Length {
        /// The record's kind, as on the wire.
        kind: u8,
        /// The length of its body in bytes.
        len: usize,
    },
}

impl RecordHeader {
    /// The header of an *end* record, which is the whole record.
    pub const END: Self = Self { kind: RecordKind::End, len: 0 };
    /// The header of an *abort* record; [`abort`] makes the whole.
    pub const ABORT: Self = Self { kind: RecordKind::Abort, len: ABORT_BODY_LEN_WIRE };
    /// The header of an *accepted* record, which is the whole record.
    pub const ACCEPTED: Self = Self { kind: RecordKind::Accepted, len: 0 };
    /// The header of a *dialled* record, which is the whole record.
    pub const DIALLED: Self = Self { kind: RecordKind::Dialled, len: 0 };
    /// The header of a *refused* record, which is the whole record.
    pub const REFUSED: Self = Self { kind: RecordKind::Refused, len: 0 };
    /// The header of a *timed out* record, which is the whole record.
    pub const TIMED_OUT: Self = Self { kind: RecordKind::TimedOut, len: 0 };

    /// The header of a *data* record with `len` bytes of body.
    ///
    /// # Errors
    /// [`RecordError::Length`] unless `len` is between 1 and [`RECORD_DATA_BYTES_MAX`].
    pub fn data(len: usize) -> Result<Self, RecordError> {
        let wire = u16::try_from(len).ok().filter(|_| (1..=RECORD_DATA_BYTES_MAX).contains(&len));
        let len = wire.ok_or(RecordError::Length { kind: RecordKind::Data.code(), len })?;
        Ok(Self { kind: RecordKind::Data, len })
    }

    /// The header of a *datagram* record with `len` bytes of body.
    ///
    /// # Errors
    /// [`RecordError::Length`] if `len` is more than [`DATAGRAM_BYTES_MAX`].
    pub fn datagram(len: usize) -> Result<Self, RecordError> {
        let wire = u16::try_from(len).ok().filter(|_| len <= DATAGRAM_BYTES_MAX);
        let len = wire.ok_or(RecordError::Length { kind: RecordKind::Datagram.code(), len })?;
        Ok(Self { kind: RecordKind::Datagram, len })
    }

    /// What the record says.
    #[must_use]
    pub const fn kind(self) -> RecordKind {
        self.kind
    }

    /// How many bytes of body follow the header.
    #[must_use]
    pub const fn body_len(self) -> usize {
        self.len as usize
    }

    /// The bytes of this header.
    #[must_use]
    pub const fn encode(self) -> [u8; RECORD_HEADER_LEN] {
        let [low, high] = self.len.to_le_bytes();
        [self.kind.code(), 0, low, high]
    }

    /// The header in these bytes.
    ///
    /// # Errors
    /// Says which rule the bytes break. There is no way on after that: the stream is to be aborted.
    pub fn decode(bytes: [u8; RECORD_HEADER_LEN]) -> Result<Self, RecordError> {
        let [kind, reserved, low, high] = bytes;
        let len = u16::from_le_bytes([low, high]);
        let known = RecordKind::from_code(kind).ok_or(RecordError::Kind(kind))?;
        if reserved != 0 {
            return Err(RecordError::Reserved);
        }
        let fits = match known {
            RecordKind::Data => (1..=RECORD_DATA_BYTES_MAX).contains(&usize::from(len)),
            RecordKind::Datagram => usize::from(len) <= DATAGRAM_BYTES_MAX,
            RecordKind::Abort => len == ABORT_BODY_LEN_WIRE,
            _ => len == 0,
        };
        if !fits {
            return Err(RecordError::Length { kind, len: usize::from(len) });
        }
        Ok(Self { kind: known, len })
    }
}

/// A whole *abort* record.
#[must_use]
pub const fn abort(code: AbortCode) -> [u8; ABORT_RECORD_LEN] {
    let [kind, reserved, low, high] = RecordHeader::ABORT.encode();
    let [a, b, c, d] = code.code().to_le_bytes();
    [kind, reserved, low, high, a, b, c, d]
}

/// The reason in the body of an *abort* record.
#[must_use]
pub const fn abort_code(body: [u8; ABORT_BODY_LEN]) -> AbortCode {
    AbortCode::from_code(u32::from_le_bytes(body))
}
