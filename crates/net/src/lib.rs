//! Sockets and TLS done right once: accept loop, dialling, a bounded look at the `ClientHello`, TLS configurations
//! and certificates, every wait on the outside with a deadline. Knows neither HTTP nor tenants.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

pub mod accept;
pub mod connection;
pub mod dial;
pub mod hello;
pub mod io;
pub mod limits;
pub mod listen;
pub mod network;
pub mod proxy_protocol;
pub mod rate;
pub mod socket;
pub mod tls;
pub mod udp;
