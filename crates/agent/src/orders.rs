//! What an agent is told to do.

use std::num::NonZeroU16;

use adit_domain::{Handling, Pooling};

use crate::public_url::PublicUrl;
use crate::server_address::ServerAddress;
use crate::upstream::Upstream;

/// Fixed when the agent is built.
pub(crate) struct Orders {
    pub(crate) server: ServerAddress,
    pub(crate) upstream: Upstream,
    pub(crate) url: Option<PublicUrl>,
    /// The public port to ask for.
    pub(crate) port: Option<NonZeroU16>,
    /// How many connections to hold.
    pub(crate) connections: usize,
    /// How the endpoint is shared with other agents, if it is.
    pub(crate) pooling: Option<Pooling>,
    /// How requests to the upstream are handled.
    pub(crate) handling: Handling,
}
