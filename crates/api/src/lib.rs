//! The public HTTP API as types, and the one table of `ADIT-nnnn` codes.
#![forbid(unsafe_code)]

pub mod capability;
mod code;
mod problem;

pub use code::{Code, Side};
pub use problem::Problem;
