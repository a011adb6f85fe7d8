//! HTTP/1.1 and HTTP/2 done right once: connections served with deadlines, requests read strictly,
//! headers kept clean on both ways, honest answers. Used by everything in Adit that speaks HTTP to the
//! outside; knows nothing of tenants.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

pub mod answer;
pub mod authority;
pub mod body;
pub mod client;
mod flood;
mod frames;
pub mod hygiene;
mod interim;
pub mod limits;
mod line;
pub mod reject;
pub mod serve;
pub mod service;
mod stall;
mod tokens;
pub mod upgrade;
mod value;

pub use authority::RequestAuthority;
pub use body::{Body, BodyError};
pub use reject::Reject;
pub use service::HttpService;
