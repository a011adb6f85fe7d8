//! One live binding of an endpoint to an agent session.

use std::sync::Arc;

use adit_domain::Pooling;
use adit_domain::id::{InstanceId, SessionId};

use crate::hold::Hold;
use crate::limits::SILENT_AFTER;
use crate::manner::Manner;
use crate::metering::Meter;
use crate::mix::Mix;
use crate::pool::Pool;
use crate::registry::Commands;
use crate::share::EndpointShare;

/// The way to one agent for one endpoint, with its idle upstream connections.
pub(crate) struct Tunnel {
    pub(crate) session_id: SessionId,
    /// The running copy of the agent: its sessions are alike.
    pub(crate) instance: InstanceId,
    /// How it shares the endpoint with other agents, if it does.
    pub(crate) pooling: Option<Pooling>,
    pub(crate) session: adit_mux::Session,
    /// What the session carries, for whichever endpoint.
    pub(crate) mix: Arc<Mix>,
    pub(crate) commands: Commands,
    pub(crate) pool: Pool,
    /// Counts what the endpoint carries, over all its tunnels.
    pub(crate) meter: Arc<Meter>,
    /// What the endpoint may use. The first tunnel of a route brings it.
    pub(crate) share: Arc<EndpointShare>,
    /// The endpoint, for those who wait for it.
    pub(crate) hold: Arc<Hold>,
    pub(crate) manner: Manner,
}

/// What speaks against a tunnel, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Load {
    /// Its agent owes an answer for long: perhaps the link is dead, and nobody has been told yet.
    is_silent: bool,
    /// Another session should take its place.
    is_retiring: bool,
    /// What the streams weigh that carry something.
    weight: usize,
    /// There is no idle connection to its upstream.
    is_cold: bool,
}

impl Tunnel {
    pub(crate) fn is_alive(&self) -> bool {
        !self.session.is_closed()
    }

    /// Whether its agent owes an answer for longer than a living one ever should. Such a tunnel is used only if there
    /// is no other; the heartbeat decides whether it is dead.
    pub(crate) fn is_silent(&self) -> bool {
        self.session.unanswered_for() >= SILENT_AFTER
    }

    /// How much it has to do.
    pub(crate) fn load(&self) -> Load {
        Load {
            is_silent: self.is_silent(),
            is_retiring: self.session.is_retiring(),
            weight: self.mix.weigh(self.busy()),
            is_cold: self.pool.len() == 0,
        }
    }

    /// Streams of its session that carry something, for whichever endpoint.
    pub(crate) fn busy(&self) -> usize {
        self.mix.busy(self.session.open_streams())
    }
}
