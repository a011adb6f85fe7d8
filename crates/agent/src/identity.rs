//! Who the agent is, and whom it trusts.

use std::sync::Arc;

use adit_domain::ApiKey;
use adit_domain::id::InstanceId;
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
    /// TLS towards the server's API.
    pub(crate) http_tls: Arc<ClientConfig>,
    /// TLS towards nodes whose roots the server did not name.
    pub(crate) node_tls: Arc<ClientConfig>,
}
