//! Bodies that say whose they are: every byte follows from the tenant's mark and the request's number.

use bytes::Bytes;

/// Bytes of the body of a request that has one.
pub(crate) const REQUEST_BYTES: usize = 900;

/// The bytes from `at` on of the body that the origin of `mark` gives to request `id`.
pub(crate) fn piece(mark: char, id: u64, at: usize, count: usize) -> Bytes {
    (at..at + count).map(|at| byte(mark, id, at)).collect()
}

/// One byte of it. The marks are far enough apart that no byte of one tenant is one of the other.
pub(crate) fn byte(mark: char, id: u64, at: usize) -> u8 {
    let place = id.wrapping_mul(31).wrapping_add(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    let half = if mark == 'a' { 0 } else { 64 };
    half + u8::try_from(place).unwrap_or_default()
}
