//! The protocol against its golden vectors, against a second encoder written by hand, and against hostile bytes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

mod arbitrary;
mod bounds;
mod by_hand;
mod capability;
mod control;
mod credit;
mod document;
mod preface;
mod samples;
mod stream;
mod vectors;
