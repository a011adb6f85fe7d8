//! A node under test: the real data plane over loopback, with a control plane in memory and agents made by hand.

pub mod agent;
pub mod authority;
pub mod node;
pub mod planted;
pub mod upstream;
pub mod visitor;
