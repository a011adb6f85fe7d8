//! Who the agent is, whom it trusts, and how it reaches them.

use std::sync::Arc;

use adit_domain::ApiKey;
use adit_domain::id::InstanceId;
use adit_net::dial::Dial;
use adit_wire::capability::AgentKey;
use rustls::ClientConfig;

/// What stays the same for as long as the agent runs.
pub(crate) struct Identity {
    /// The API key.
    pub(crate) api_key: ApiKey,
    /// The agent's own key.
    pub(crate) agent_key: AgentKey,
    /// This running copy.
    pub(crate) instance: InstanceId,
    /// How the server and its nodes are reached.
    pub(crate) network: Arc<dyn Dial>,
    /// TLS towards the server's API.
    pub(crate) http_tls: Arc<ClientConfig>,
    /// TLS towards nodes whose roots the server did not name.
    pub(crate) node_tls: Arc<ClientConfig>,
}
