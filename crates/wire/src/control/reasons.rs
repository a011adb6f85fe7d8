//! Why a binding was refused, a binding ended, a session drains, a session ended.

use crate::codes::codes;

codes! {
    /// Why a bind was refused.
    pub enum BindRefusal: u16 {
        /// The tenant may not have this name. A name that another tenant has is refused like this too, so that nobody
        /// learns who has it.
        NotYours = 1 => "not_yours",
        /// The tenant itself uses this name for something else.
        NameTaken = 2 => "name_taken",
        /// The name can never be an endpoint here.
        NameInvalid = 3 => "name_invalid",
        /// The epoch is not in force any more: another agent took over, and this one does not fight back.
        Replaced = 4 => "replaced",
        /// The tenant or the session has as many endpoints as it may.
        LimitReached = 5 => "limit_reached",
        /// The capability does not have the right.
        RightMissing = 6 => "right_missing",
        /// Not now: the node cannot ask, or is about to leave.
        TryLater = 7 => "try_later",
        /// The installation has no endpoints of this kind, or not on this port.
        NotOffered = 8 => "not_offered",
    }
}

impl BindRefusal {
    /// Whether the same bind would be refused again, however long the agent waits: it stops asking.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !matches!(self, Self::TryLater | Self::Unknown(_))
    }
}

codes! {
    /// Why a binding ends.
    pub enum UnbindReason: u16 {
        /// The agent does not want to serve it any longer.
        AgentAsked = 1 => "agent_asked",
        /// Another agent took over; this one does not fight back.
        Replaced = 2 => "replaced",
        /// The right to serve it was taken away.
        Revoked = 3 => "revoked",
        /// The endpoint does not exist any more.
        EndpointRemoved = 4 => "endpoint_removed",
        /// The agent is about to be restarted: who asks for the endpoint waits for it.
        AgentReturns = 5 => "agent_returns",
    }
}

codes! {
    /// Why another session should take the place of this one.
    pub enum DrainReason: u16 {
        /// The node is shutting down.
        NodeLeaves = 1 => "node_leaves",
        /// The session has carried nearly as many streams as one can.
        WornOut = 2 => "worn_out",
    }
}

codes! {
    /// Why a session ends.
    pub enum GoodbyeReason: u16 {
        /// The agent is done.
        Finished = 1 => "finished",
        /// The node is shutting down; dial again.
        Draining = 2 => "draining",
        /// The capability or its API key was revoked; exchange the API key again.
        Revoked = 3 => "revoked",
        /// The capability expired without a new one; exchange the API key again.
        CapabilityExpired = 4 => "capability_expired",
        /// No byte came for too long.
        Silent = 5 => "silent",
        /// The other side broke a rule of this protocol.
        Protocol = 6 => "protocol",
        /// The node has no room for this session any more.
        Overloaded = 7 => "overloaded",
        /// Another session was to take the place of this one, and the time for that is over.
        WornOut = 8 => "worn_out",
    }
}

impl GoodbyeReason {
    /// Whether the agent should exchange its API key for a new capability before it dials again.
    #[must_use]
    pub const fn wants_new_capability(self) -> bool {
        matches!(self, Self::Revoked | Self::CapabilityExpired)
    }
}
