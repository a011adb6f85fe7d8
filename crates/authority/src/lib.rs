//! What a node asks of the control plane, as traits.
//!
//! The control plane decides, nodes enforce: a node holds no database handle and learns everything through here.
//! In `aditd up` the implementation lives in the same process; the node cannot tell.
#![forbid(unsafe_code)]

mod admission;
mod directory;
pub mod limits;
mod usage;

use std::pin::Pin;

pub use admission::{Admission, RefreshError};
pub use directory::{Change, Changes, Claim, ClaimError, Claimed, Directory, RequestedName, Sequence};
pub use usage::{Usage, UsageRow};

/// A boxed future, so that the traits can be used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The control plane, or its store, cannot be reached. Nothing was decided; what is live stays live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the control plane is not available: {reason}")]
pub struct Unavailable {
    /// What failed, for the operator's log.
    pub reason: String,
}
