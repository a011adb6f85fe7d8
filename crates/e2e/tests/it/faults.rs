//! Faults under load, with ledgers: visitors write down what they were told, origins what arrived, and the access logs of
//! server and agents must say the same; the agent's events and the server's log are read, and what processes hold. The numbers
//! are those of the fault matrix.

mod churn;
mod clocks;
mod crowd;
mod descriptors;
mod far;
mod held;
mod herd;
mod hostile;
mod killed;
mod network;
mod place;
mod promises;
mod starved;
mod strangers;
mod upstreams;
