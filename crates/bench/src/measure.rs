//! What the machine tells about programs, and about itself. Linux: all of it is read from `/proc`.

mod connections;
mod machine;
mod memory;
mod processes;
mod window;

pub use connections::connections_taken;
pub use machine::Machine;
pub use memory::Memory;
pub use processes::Processes;
pub use window::{Spent, Window};
