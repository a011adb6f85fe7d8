//! Letting agents stay: a capability lives 24 hours and is renewed long before.

use adit_wire::capability::{Capability, SignedCapability};
use thiserror::Error;

use crate::{BoxFuture, Unavailable};

/// Renews what agents hold.
pub trait Admission: Send + Sync + 'static {
    /// A successor of `capability`, for the same key, agent and rights, valid from now.
    ///
    /// # Errors
    /// See [`RefreshError`].
    fn refresh<'a>(
        &'a self,
        capability: &'a Capability,
    ) -> BoxFuture<'a, Result<SignedCapability, RefreshError>>;
}

/// Why a capability was not renewed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// Its API key or tenant may no longer do this.
    #[error("the API key is not valid any more")]
    Revoked,
    /// Nobody could be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
