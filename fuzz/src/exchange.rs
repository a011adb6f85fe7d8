//! What agents and the control plane tell each other in JSON, and the certificates in it.

use adit_api::Problem;
use adit_api::capability::{CapabilityRequest, CapabilityResponse};
use adit_net::tls::Roots;
use adit_wire::capability::{AgentPublicKey, SignedCapability};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an agent asks, what it is answered, and what it is told when it is refused: each is written the way that it was read.
pub fn exchange(data: &[u8]) {
    if let Some(asked) = again::<CapabilityRequest>(data)
        && let Ok(key) = AgentPublicKey::from_hex(&asked.agent_public_key)
    {
        assert!(key.to_hex().eq_ignore_ascii_case(&asked.agent_public_key));
    }
    if let Some(answer) = again::<CapabilityResponse>(data) {
        if let Ok(capability) = SignedCapability::from_hex(&answer.capability) {
            assert!(capability.to_hex().eq_ignore_ascii_case(&answer.capability));
        }
        certificates(answer.trust_roots.join("\n").as_bytes());
    }
    again::<Problem>(data);
}

fn again<T: Serialize + DeserializeOwned + PartialEq>(data: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_vec(&read).expect("what was read is written");
    assert!(
        serde_json::from_slice::<T>(&text).is_ok_and(|again| again == read),
        "it is not read as it was written"
    );
    Some(read)
}

/// PEM from anybody is understood or refused, and what is said about it is short.
pub fn certificates(data: &[u8]) {
    if let Err(error) = Roots::from_pem("the answer", data) {
        assert!(error.to_string().len() < 200, "{error}");
    }
}
