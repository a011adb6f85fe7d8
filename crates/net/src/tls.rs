//! TLS: one provider, configurations that never share resumption, certificates, handshakes with a deadline.

mod config;
mod dev_ca;
mod handshake;
mod pem;
mod pem_files;
mod private_file;
mod provider;
mod resolve;
mod roots;
mod validity;

pub use config::{
    TlsConfigError, agent_client, agent_server, http_client, public_server, terminating_server,
};
pub use dev_ca::{DevCa, DevCaError, DevLeaves};
pub use handshake::{HandshakeError, accept, connect, exporter};
pub use pem::PemError;
pub use pem_files::PemFiles;
pub use provider::{ProviderTaken, install_provider, provider};
pub use resolve::{CertificateSource, Resolver};
pub use roots::Roots;

#[cfg(test)]
mod tests;
