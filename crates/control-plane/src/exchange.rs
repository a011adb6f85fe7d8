//! An API key becomes a capability.

use std::error::Error;
use std::time::Duration;

use adit_api::Code;
use adit_api::capability::{CapabilityRequest, CapabilityResponse};
use adit_domain::access::{Action, Actor, Permit, Resource, authorize};
use adit_domain::id::{CapabilityId, RequestId};
use adit_domain::{ApiKey, Timestamp};
use adit_net::rate::TooOften;
use adit_store::{IssueError, Issued, KeyOwner, NewCapability, StoreError};
use adit_web::answer::ADIT_REQUEST_ID;
use adit_web::service::Peer;
use adit_wire::capability::{AgentPublicKey, Capability, Scope};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::LengthLimitError;

use crate::limits::{AGENT_VERSION_BYTES_MAX, BODY_BYTES_MAX, BODY_DEADLINE, CAPABILITY_LIFETIME};
use crate::refusal::refused;
use crate::{ControlPlane, MintError, key_hash, mint};

/// `POST /api/v1/agent/capability`.
pub(crate) async fn exchange(
    State(control_plane): State<ControlPlane>,
    request: Request<Body>,
) -> Response<Body> {
    let request_id = RequestId::new();
    match control_plane.exchange(request, request_id).await {
        Ok(response) => granted(&response, request_id),
        Err(error) => {
            let code = error.code();
            match error {
                ExchangeError::TooOften(wait) => return too_often(wait, request_id),
                ExchangeError::Refused(_) => tracing::info!(%request_id, %code, "capability refused"),
                ExchangeError::Store(error) => failed(&error, request_id),
                ExchangeError::Mint(error) => failed(&error, request_id),
            }
            refused(code, request_id)
        }
    }
}

fn too_often(wait: Duration, request_id: RequestId) -> Response<Body> {
    let mut response = refused(Code::TooManyRequests, request_id);
    let seconds = wait.as_secs().saturating_add(1);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn failed(error: &(dyn Error + 'static), request_id: RequestId) {
    tracing::error!(%request_id, error, "capability not issued");
}

/// Why no capability was handed out.
enum ExchangeError {
    Refused(Code),
    TooOften(Duration),
    Store(StoreError),
    Mint(MintError),
}

impl ExchangeError {
    const fn code(&self) -> Code {
        match self {
            Self::Refused(code) => *code,
            Self::TooOften(_) => Code::TooManyRequests,
            Self::Store(_) | Self::Mint(MintError::Store(_)) => Code::ControlPlaneUnavailable,
            Self::Mint(MintError::NoKey) => Code::Internal,
        }
    }
}

impl From<TooOften> for ExchangeError {
    fn from(TooOften(wait): TooOften) -> Self {
        Self::TooOften(wait)
    }
}

impl From<Code> for ExchangeError {
    fn from(code: Code) -> Self {
        Self::Refused(code)
    }
}

impl ControlPlane {
    async fn exchange(
        &self,
        request: Request<Body>,
        request_id: RequestId,
    ) -> Result<CapabilityResponse, ExchangeError> {
        let now = self.now();
        let key = bearer(request.headers())?;
        let peer = request.extensions().get::<Peer>().copied();
        self.paces().begin(peer, &key)?;
        let owner = self.owner(&key, now).await?;
        let (asked, agent_public_key) = parse(request).await?;
        let actor = Actor::Agent { tenant: owner.tenant, api_key: owner.id, rights: owner.rights };
        let permit = authorize(&actor, Action::IssueCapability, &Resource::Tenant(owner.tenant))
            .map_err(|_| Code::ApiKeyRejected)?;
        let id = CapabilityId::new();
        let new = NewCapability {
            id,
            api_key: owner.id,
            agent_public_key: agent_public_key.to_bytes(),
            instance: asked.instance,
            issued_at: now,
            expires_at: now.plus(CAPABILITY_LIFETIME),
        };
        let Issued { expires_at, plan } = self.issue(&permit, &new).await?;
        let capability = Capability {
            id,
            tenant: owner.tenant,
            api_key: owner.id,
            agent_public_key,
            scope: Scope::Tenant,
            rights: owner.rights,
            limits: plan.limits(),
            issued_at: now,
            expires_at,
            revision: 0,
            key_id: 0,
        };
        let signed = mint::sign(self.store(), &capability, now).await.map_err(ExchangeError::Mint)?;
        tracing::info!(
            %request_id, capability = %id, tenant = %owner.tenant, api_key = %owner.id,
            instance = %asked.instance, agent_version = %asked.agent_version.escape_default(),
            "capability issued"
        );
        Ok(CapabilityResponse {
            capability: signed.to_hex(),
            expires_in: expires_at.since(now).as_secs(),
            nodes: self.settings().nodes.clone(),
            trust_roots: self.settings().trust_roots.clone(),
        })
    }

    /// Whose key was shown. Unknown, revoked, expired and suspended look alike from outside.
    async fn owner(&self, key: &ApiKey, now: Timestamp) -> Result<KeyOwner, ExchangeError> {
        let hash = key_hash::hash(key);
        let owner = self.store().api_keys().by_hash(hash).await.map_err(ExchangeError::Store)?;
        let counts = |owner: &KeyOwner| {
            key_hash::same(&hash, &owner.hash)
                && owner.revoked_at.is_none()
                && owner.suspended_at.is_none()
                && owner.expires_at.is_none_or(|end| now < end)
        };
        Ok(owner.filter(counts).ok_or(Code::ApiKeyRejected)?)
    }

    async fn issue(&self, permit: &Permit, new: &NewCapability) -> Result<Issued, ExchangeError> {
        match self.store().capabilities().issue(permit, new).await {
            Ok(issued) => Ok(issued),
            Err(IssueError::KeyNotValid) => Err(Code::ApiKeyRejected.into()),
            Err(IssueError::Store(error)) => Err(ExchangeError::Store(error)),
        }
    }
}

/// The key of `Authorization: Bearer adit_…` (RFC 6750, section 2.1). The scheme's case does not matter.
fn bearer(headers: &HeaderMap) -> Result<ApiKey, Code> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Code::ApiKeyMissing) };
    let text = value.to_str().map_err(|_| Code::ApiKeyMissing)?;
    let (scheme, key) = text.split_once(' ').ok_or(Code::ApiKeyMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Code::ApiKeyMissing);
    }
    ApiKey::parse(key).map_err(|_| Code::ApiKeyMissing)
}

async fn parse(request: Request<Body>) -> Result<(CapabilityRequest, AgentPublicKey), Code> {
    let body = read_body(request).await?;
    let asked: CapabilityRequest = serde_json::from_slice(&body).map_err(|_| Code::BodyMalformed)?;
    if asked.agent_version.len() > AGENT_VERSION_BYTES_MAX {
        return Err(Code::BodyMalformed);
    }
    let key = AgentPublicKey::from_hex(&asked.agent_public_key).map_err(|_| Code::BodyMalformed)?;
    Ok((asked, key))
}

async fn read_body(request: Request<Body>) -> Result<Vec<u8>, Code> {
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(Code::BodyTooLarge);
    }
    let read = to_bytes(request.into_body(), BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_DEADLINE, read).await {
        Ok(Ok(body)) => Ok(body.into()),
        Ok(Err(error)) if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) => {
            Err(Code::BodyTooLarge)
        }
        Ok(Err(_)) => Err(Code::BodyMalformed),
        Err(_) => Err(Code::RequestTimeout),
    }
}

fn granted(response: &CapabilityResponse, request_id: RequestId) -> Response<Body> {
    let Ok(json) = serde_json::to_vec(response) else { return refused(Code::Internal, request_id) };
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(ADIT_REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::convert::Infallible;

    use adit_api::Code;
    use axum::body::{Body, Bytes};
    use futures::stream::{self, StreamExt};
    use http::Request;
    use tokio::time::Instant;

    use super::read_body;
    use crate::limits::BODY_DEADLINE;

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_deadline_however_far_it_came() {
        for part in ["", r#"{"agent_public_key": "#] {
            let part = Bytes::from_static(part.as_bytes());
            let first = stream::iter([Ok::<_, Infallible>(part)]);
            let body = Body::from_stream(first.chain(stream::pending()));
            let begun = Instant::now();
            let read = read_body(Request::new(body)).await;
            assert_eq!(read.unwrap_err(), Code::RequestTimeout);
            assert_eq!(begun.elapsed().as_millis(), BODY_DEADLINE.as_millis());
        }
    }
}
