//! Every bound of this crate.

/// Longest host name in bytes, without a trailing dot (RFC 1035, section 2.3.4, in text form).
pub const HOSTNAME_BYTES_MAX: usize = 253;

/// Longest label of a host name in bytes (RFC 1035, section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Random bytes in an API key.
pub const API_KEY_SECRET_BYTES: usize = 32;
