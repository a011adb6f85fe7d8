//! Wrappers around a connection that stay out of the way.

mod buffered;
mod end_or_reset;
mod guarded;
mod replay;

pub use buffered::Buffered;
pub use end_or_reset::EndOrReset;
pub use guarded::{Guarded, Socket};
pub use replay::Replay;
