//! Where one request may go, and where it has been.

use std::net::IpAddr;

use adit_domain::id::{InstanceId, SessionId};

use crate::sticky::Mark;
use crate::tunnel::Tunnel;

/// The choice of a tunnel for one request, over all its tries. Made once per request, and handed to every
/// [`Route::pick`](crate::routes::Route::pick) and [`Route::reuse`](crate::routes::Route::reuse) on its behalf: the
/// member of a pool that was chosen at the first try stays chosen, and what was passed over is not picked again.
#[derive(Debug, Default, Clone)]
pub(crate) struct Choice {
    /// Who asks.
    pub(crate) visitor: Known,
    pub(crate) member: Option<InstanceId>,
    sessions: Vec<SessionId>,
    members: Vec<InstanceId>,
}

/// What is known of a visitor, who may want to come back to the member that served it before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) address: Option<IpAddr>,
    /// The cookie that it brought.
    pub(crate) mark: Option<Mark>,
}

impl Choice {
    /// Everything is open again, for this visitor.
    pub(crate) fn of(visitor: Known) -> Self {
        Self { visitor, ..Self::default() }
    }

    /// Not over this session again: it is lost, full or silent. Other sessions of the same agent may still do.
    pub(crate) fn pass_session(&mut self, tunnel: &Tunnel) {
        self.sessions.push(tunnel.session_id);
    }

    /// Not to this agent again, over any of its sessions: its upstream is not there.
    pub(crate) fn pass_member(&mut self, tunnel: &Tunnel) {
        self.members.push(tunnel.instance);
    }

    pub(crate) fn may_use(&self, tunnel: &Tunnel) -> bool {
        !self.members.contains(&tunnel.instance) && !self.sessions.contains(&tunnel.session_id)
    }
}

/// What a request needs of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Room for one more stream.
    Stream,
    /// An idle upstream connection, if there is one.
    Idle,
}
