//! Agents: admitted by their capability, heard on their control stream, told what concerns them.

mod claims;
mod holdings;
mod preface;
mod releases;
mod session;
mod standing;

pub(crate) use session::serve;
