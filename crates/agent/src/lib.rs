//! The agent: what customers run, as the program `adit`, or embed.
//!
//! ```no_run
//! # async fn example(server: adit_agent::ServerAddress, key: adit_domain::ApiKey) -> Result<(), adit_agent::BuildError> {
//! use adit_agent::{Agent, Event, Upstream};
//!
//! let tasks = adit_process::tasks::Tasks::new("my program");
//! let Ok(upstream) = Upstream::parse("localhost:3000") else { return Ok(()) };
//! let (mut agent, mut events) = Agent::builder(server, key, upstream).build()?.start(&tasks);
//! while let Some(event) = events.next().await {
//!     if let Event::UrlAssigned { url, .. } = event {
//!         // Visitors get through at `url` from now on.
//! #       drop(url);
//!     }
//! }
//! let outcome = agent.ended().await;
//! # drop(outcome);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod access;
mod agent;
pub mod agent_key;
mod backoff;
mod certificate;
pub mod config;
mod connect;
mod connection;
mod event;
mod exchange;
mod exit;
mod forward;
mod grant;
mod host_port;
mod identity;
pub mod limits;
mod orders;
mod parting;
mod presence;
pub mod private_file;
mod public_url;
pub mod redact;
mod runner;
mod server_address;
mod session;
mod setback;
mod terminate;
mod upstream;

pub use adit_net::proxy_protocol::ProxyVersion;
pub use agent::{Agent, BuildError, Builder, Handle};
pub use certificate::CertificateError;
pub use event::{Event, Events, Reason, SCHEMA, UpstreamTrouble};
pub use exit::ExitStatus;
pub use host_port::HostPortError;
pub use parting::Parting;
pub use public_url::{PublicUrl, PublicUrlError};
pub use runner::Outcome;
pub use server_address::{ServerAddress, ServerAddressError};
pub use setback::{Refusal, chain};
pub use upstream::{HostHeader, HttpVersion, Scheme, Upstream, UpstreamError};
