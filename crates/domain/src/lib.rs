//! The nouns of Adit: typed ids, names, keys, time, and who may do what.
//!
//! Nothing in here does I/O, reads a clock or knows another crate of the workspace. Every type is valid from the
//! moment it exists: text from outside is parsed once, at the door.
#![forbid(unsafe_code)]

pub mod access;
mod api_key;
mod carried;
mod endpoint;
mod handling;
mod hostname;
pub mod id;
pub mod limits;
mod plan;
mod pool;
mod port;
mod rights;
mod secret;
mod time;

pub use api_key::{ApiKey, ApiKeyError, KeyHash};
pub use carried::Carried;
pub use endpoint::{EndpointKind, Epoch, UpstreamProtocol};
pub use handling::{Handling, Retry, Reuse};
pub use hostname::{Hostname, HostnameError, Label, LabelError};
pub use plan::{Plan, PlanLimits, PlanUnknown};
pub use pool::{Balance, Pooling, Sticky};
pub use port::{PortRange, PortRangeError};
pub use rights::Rights;
pub use secret::Secret;
pub use time::Timestamp;
