//! What endpoints carry: counted as it passes, kept on disk every few seconds, reported to the control plane.
//!
//! A [`Meter`] counts for one endpoint and costs an atomic addition. The [`Book`] turns the growing counts into rows, one
//! for each endpoint and hour. A [`Spool`] keeps the rows that the control plane may not have, and a [`Keeper`](keeper::Keeper)
//! does all of it. docs/metering.md says which bytes count.

mod book;
mod carrying;
mod count;
mod keeper;
mod keeping;
mod meter;
mod spool;

pub(crate) use carrying::{CountedBody, CountedIo};
pub(crate) use count::Count;
pub(crate) use keeping::Keeping;
pub(crate) use meter::{Meter, Meters};
pub use spool::SpoolError;
#[cfg(feature = "fuzzing")]
pub(crate) use spool::written_again;
