//! What endpoints carried, as nodes report it.

use adit_domain::Carried;
use adit_domain::id::{BootId, EndpointId, NodeId};

use crate::{BoxFuture, Unavailable};

/// Takes down what endpoints carried. It is what tenants are billed by.
pub trait Usage: Send + Sync + 'static {
    /// Takes rows down, at most [`USAGE_ROWS_MAX`](crate::limits::USAGE_ROWS_MAX) at once. All of them are kept when
    /// this returns, or none.
    ///
    /// Each row is cumulative, and of two with the same node, boot, endpoint and hour the larger one counts, number by
    /// number: a report may be repeated, and come late or out of order, without anything being counted twice.
    ///
    /// # Errors
    /// Fails when nobody could be asked; the caller reports the same again.
    fn report<'a>(&'a self, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), Unavailable>>;
}

/// What one endpoint carried in one hour, so far, as one boot of a node counted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// Which node counted.
    pub node: NodeId,
    /// Which run of counters.
    pub boot: BootId,
    /// Whose.
    pub endpoint: EndpointId,
    /// Whole hours since the Unix epoch.
    pub hour: u32,
    /// What passed in this hour up to now.
    pub carried: Carried,
}
