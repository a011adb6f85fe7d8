//! Entries of the credit stream.

use adit_wire::credit::{CREDIT_LEN, Credit};
use proptest::prelude::*;

use crate::vectors;

#[test]
fn the_vector() {
    let entries = [Credit::HELLO, Credit { stream: 2, bytes: 16_384 }, Credit { stream: 4, bytes: 0 }];
    let vector = vectors::exactly::<{ 3 * CREDIT_LEN }>(&vectors::credit());
    assert_eq!(entries.map(Credit::encode).concat(), vector);
    let (decoded, rest) = vector.as_chunks::<CREDIT_LEN>();
    assert_eq!(decoded.iter().map(|bytes| Credit::decode(*bytes)).collect::<Vec<_>>(), entries);
    assert!(rest.is_empty());
}

proptest! {
    #[test]
    fn all_bytes_are_an_entry(bytes: [u8; CREDIT_LEN]) {
        prop_assert_eq!(Credit::decode(bytes).encode(), bytes);
    }

    #[test]
    fn an_entry_as_written_by_hand(stream: u32, bytes: u32) {
        let by_hand = [stream.to_le_bytes(), bytes.to_le_bytes()].concat();
        prop_assert_eq!(Credit { stream, bytes }.encode().to_vec(), by_hand);
    }
}
