//! Wrappers around a connection that stay out of the way.

mod buffered;
mod guarded;
mod plain;
mod replay;

pub use buffered::Buffered;
pub use guarded::{Guarded, Socket};
pub use plain::Plain;
pub use replay::Replay;
