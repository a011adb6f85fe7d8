//! What every Adit program needs around its work: named tasks with an owner and an end, one shutdown watch,
//! the wall clock, telemetry, signals and the limit of open files. Knows nothing of tunnels.
#![forbid(unsafe_code)]

pub mod clock;
pub mod descriptors;
pub mod limits;
pub mod log_lines;
pub mod shutdown;
pub mod signals;
pub mod tasks;
pub mod telemetry;
