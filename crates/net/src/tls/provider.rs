//! The one TLS provider.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use thiserror::Error;

/// A dependency of the program has installed another TLS provider before ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("another TLS provider is installed in this process")]
pub struct ProviderTaken;

/// The one TLS provider of the project, with post-quantum key exchange first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes [`provider`] the default of the process, for dependencies that ask for the default. To be called first thing
/// in main; twice is fine.
///
/// # Errors
/// A dependency has installed another provider already.
pub fn install_provider() -> Result<(), ProviderTaken> {
    if aws_lc_rs::default_provider().install_default().is_ok() {
        return Ok(());
    }
    let ours = aws_lc_rs::default_provider().cipher_suites;
    let installed = CryptoProvider::get_default().map(|other| &other.cipher_suites);
    if installed == Some(&ours) { Ok(()) } else { Err(ProviderTaken) }
}
