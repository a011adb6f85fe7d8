//! Every bound of this crate.

/// Rows that one report of usage holds at most.
pub const USAGE_ROWS_MAX: usize = 500;
