//! The control plane: it decides, nodes enforce.
//!
//! [`ControlPlane`] answers agents over HTTP ([`ControlPlane::app`]) and nodes through the traits of
//! [`adit_authority`]. [`Admin`] is what the operator does at the machine itself. Both stand on a
//! [`Store`] and know nothing of tunnels or visitors.
#![forbid(unsafe_code)]

mod admin;
mod app;
mod authority;
mod exchange;
mod housekeeping;
mod key_hash;
pub mod limits;
mod mint;
mod names;
mod pace;
mod refusal;
mod settings;

use std::sync::Arc;

use adit_domain::Timestamp;
use adit_store::Store;

pub use admin::{Admin, AdminError, CreatedKey, Grouping, TenantEndpoints, TenantUsage};
pub use housekeeping::History;
pub use mint::{MintError, StartError};
pub use settings::{Clock, Settings};

/// The control plane of one installation. Cloning shares it.
#[derive(Clone)]
pub struct ControlPlane {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    settings: Settings,
    clock: Clock,
    paces: pace::ExchangePaces,
}

impl ControlPlane {
    /// Takes up work on an open store; makes the first signing key if there is none.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(store: Store, settings: Settings, clock: Clock) -> Result<Self, StartError> {
        mint::ensure_key(&store, clock.now()).await?;
        Ok(Self { inner: Arc::new(Inner { store, settings, clock, paces: pace::ExchangePaces::default() }) })
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    fn paces(&self) -> &pace::ExchangePaces {
        &self.inner.paces
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").field("settings", self.settings()).finish_non_exhaustive()
    }
}
