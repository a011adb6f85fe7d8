//! Agents: admitted by their capability, heard on their control stream, told what concerns them.

mod claims;
mod preface;
mod session;

pub(crate) use session::serve;
