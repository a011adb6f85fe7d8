//! One live binding of an endpoint to an agent session.

use adit_domain::id::SessionId;

use crate::pool::Pool;
use crate::registry::Commands;

/// The way to one agent for one endpoint, with its idle upstream connections.
pub(crate) struct Tunnel {
    pub(crate) session_id: SessionId,
    pub(crate) session: adit_mux::Session,
    pub(crate) commands: Commands,
    pub(crate) pool: Pool,
}
