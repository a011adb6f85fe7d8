//! Requests refused for how they are written, before anything looks at what they ask for.

use adit_api::Code;

/// Why a request is refused. [`crate::answer::refuse`] makes the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// No host named (RFC 9112 section 3.2).
    #[error("request names no host")]
    HostMissing,
    /// More than one `Host` field (RFC 9112 section 3.2).
    #[error("request names more than one host")]
    HostRepeated,
    /// The host is not a name or address this node accepts: userinfo, control characters, bad port.
    #[error("request's host is malformed")]
    HostMalformed,
    /// `Host` and the target's authority differ (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
    #[error("request names two different hosts")]
    HostContradicts,
    /// CONNECT and TRACE are not served.
    #[error("method is not served")]
    MethodNotServed,
    /// An extended CONNECT to a protocol other than WebSocket (RFC 8441).
    #[error("protocol is not carried")]
    ProtocolNotCarried,
    /// `Expect` other than `100-continue` (RFC 9110 section 10.1.1).
    #[error("expectation cannot be met")]
    ExpectationUnknown,
    /// A target without a path.
    #[error("request's target is malformed")]
    TargetMalformed,
    /// Target longer than [`crate::limits::TARGET_BYTES_MAX`].
    #[error("request target is too long")]
    TargetTooLong,
    /// More than [`crate::limits::HEADERS_MAX`] fields.
    #[error("request has too many header fields")]
    HeadTooLarge,
    /// Framing that two readers could understand differently (RFC 9112 section 6.3).
    #[error("request's length is ambiguous")]
    FramingAmbiguous,
}

impl Reject {
    /// The code to answer with.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::ProtocolNotCarried => Code::ProtocolNotCarried,
            Self::MethodNotServed => Code::MethodNotAllowed,
            Self::ExpectationUnknown => Code::ExpectationFailed,
            Self::TargetTooLong => Code::TargetTooLong,
            Self::HeadTooLarge => Code::HeadTooLarge,
            Self::HostMissing
            | Self::HostRepeated
            | Self::HostMalformed
            | Self::HostContradicts
            | Self::TargetMalformed
            | Self::FramingAmbiguous => Code::BadRequest,
        }
    }
}
