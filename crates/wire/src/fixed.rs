//! Blocks of a fixed layout, through bincode: fixed-width little-endian integers and byte arrays, nothing else.
//!
//! This is the only use of bincode in the workspace; see `docs/design/2026-11-21-bincode.md`.

use bincode::{Decode, Encode};

/// The bytes of a block that is exactly `N` long.
///
/// A block of another length is a mistake in this crate, which a test for each layout would show. It would come out as
/// zeros, which every peer refuses.
pub(crate) fn encode<T: Encode, const N: usize>(block: &T) -> [u8; N] {
    let mut bytes = [0; N];
    let config = bincode::config::legacy().with_limit::<N>();
    let written = bincode::encode_into_slice(block, &mut bytes, config).unwrap_or(0);
    debug_assert_eq!(written, N, "a fixed block has another length than its constant");
    if written == N { bytes } else { [0; N] }
}

/// The block in exactly these bytes.
pub(crate) fn decode<T: Decode<()>, const N: usize>(bytes: &[u8; N]) -> Option<T> {
    let config = bincode::config::legacy().with_limit::<N>();
    match bincode::decode_from_slice(bytes.as_slice(), config) {
        Ok((block, consumed)) if consumed == N => Some(block),
        _ => None,
    }
}
