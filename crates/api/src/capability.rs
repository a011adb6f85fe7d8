//! `POST /api/v1/agent/capability`: an API key, given as `Authorization: Bearer adit_…`, becomes a capability.

use adit_domain::id::InstanceId;
use serde::{Deserialize, Serialize};

/// The path of the exchange on the app's host.
pub const PATH: &str = "/api/v1/agent/capability";

/// What the agent sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityRequest {
    /// The agent's Ed25519 public key: 64 lower-case hexadecimal digits. The capability is bound to it.
    pub agent_public_key: String,
    /// The running copy that asks.
    pub instance: InstanceId,
    /// The agent's version, for the operator's eyes; at most 64 bytes.
    pub agent_version: String,
}

/// What the agent gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityResponse {
    /// The signed capability: 384 lower-case hexadecimal digits (192 bytes).
    pub capability: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// The nodes to dial, in order of preference.
    pub nodes: Vec<NodeAddress>,
    /// PEM certificates that the nodes' certificates lead to. Empty: the roots that were used for this request.
    pub trust_roots: Vec<String>,
}

/// Where a node takes agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// Host name or IP address to dial.
    pub host: String,
    /// TCP port to dial.
    pub port: u16,
    /// The name that the node's certificate must have.
    pub sni: String,
}
