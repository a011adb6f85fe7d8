//! The exchange of the API key for a capability, over HTTP/1.1 and TLS.

use std::sync::Arc;
use std::time::Duration;

use adit_api::capability::{self, CapabilityRequest, CapabilityResponse, NodeAddress};
use adit_api::{Code, Problem};
use adit_net::dial::DialError;
use adit_net::tls::{self, HandshakeError, Roots, TlsConfigError};
use adit_wire::ALPN;
use adit_wire::capability::SignedCapability;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::event::Reason;
use crate::exit::ExitStatus;
use crate::grant::Grant;
use crate::identity::Identity;
use crate::limits::{EXCHANGE, EXCHANGE_BODY_BYTES_MAX, NODES_MAX};
use crate::server_address::ServerAddress;
use crate::setback::{Refusal, Setback, Verdict};

/// Why there is no capability.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// No whole answer.
    #[error("the server broke off its answer")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("the server did not answer in time")]
    Deadline,
    /// An answer that says no.
    #[error("the server answered with status {status}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it says about it, if it is Adit.
        problem: Option<Box<Problem>>,
        /// What it asks for; zero if nothing.
        retry_after: Duration,
    },
    /// An answer that is not what Adit answers.
    #[error("the server's answer makes no sense: {0}")]
    Answer(&'static str),
    /// The roots that the answer names cannot be used.
    #[error("the server's answer names roots that cannot be used")]
    Roots(#[source] TlsConfigError),
}

/// Exchanges the API key.
///
/// # Errors
/// See [`ExchangeError`].
pub(crate) async fn exchange(server: &ServerAddress, identity: &Identity) -> Result<Grant, ExchangeError> {
    let deadline = Instant::now() + EXCHANGE;
    let asked = timeout_at(deadline, ask(server, identity, deadline));
    let answer = asked.await.map_err(|_elapsed| ExchangeError::Deadline)??;
    grant(answer, identity, Instant::now())
}

async fn ask(
    server: &ServerAddress,
    identity: &Identity,
    deadline: Instant,
) -> Result<CapabilityResponse, ExchangeError> {
    let stream = identity.network.dial(server.host(), server.port(), deadline).await?;
    let tls = tls::connect(Arc::clone(&identity.http_tls), server.host(), stream, deadline).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(EXCHANGE_BODY_BYTES_MAX)
        .handshake(TokioIo::new(tls))
        .await?;
    let request = request(server, identity)?;
    // The connection ends when the sender is gone, which is when the answer is whole.
    let answered = async move { read(sender.send_request(request).await?).await };
    let (_ended, answer) = tokio::join!(connection, answered);
    answer
}

fn request(server: &ServerAddress, identity: &Identity) -> Result<Request<Full<Bytes>>, ExchangeError> {
    let body = CapabilityRequest {
        agent_public_key: identity.agent_key.public().to_hex(),
        instance: identity.instance,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let body = serde_json::to_vec(&body).map_err(|_| ExchangeError::Answer("the question"))?;
    let bearer = format!("Bearer {}", identity.api_key.expose());
    let mut bearer =
        HeaderValue::try_from(bearer).map_err(|_| ExchangeError::Answer("the key is no header"))?;
    bearer.set_sensitive(true);
    Request::post(capability::PATH)
        .header(HOST, server.authority())
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, application/problem+json")
        .header(USER_AGENT, concat!("adit/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| ExchangeError::Answer("the server's name is no host"))
}

async fn read(response: Response<Incoming>) -> Result<CapabilityResponse, ExchangeError> {
    let (head, body) = response.into_parts();
    let whole = Limited::new(body, EXCHANGE_BODY_BYTES_MAX).collect().await;
    if head.status == StatusCode::OK {
        let whole = whole.map_err(|_| ExchangeError::Answer("it is too long, or was broken off"))?;
        return serde_json::from_slice(&whole.to_bytes())
            .map_err(|_| ExchangeError::Answer("it is not JSON"));
    }
    // What an answer says no with does not matter as much as that it does.
    let problem = whole.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(ExchangeError::Refused {
        status: head.status,
        problem,
        retry_after: Duration::from_secs(seconds.unwrap_or(0)),
    })
}

fn grant(answer: CapabilityResponse, identity: &Identity, now: Instant) -> Result<Grant, ExchangeError> {
    let capability = SignedCapability::from_hex(&answer.capability)
        .map_err(|_| ExchangeError::Answer("its capability is malformed"))?;
    let lifetime = Duration::from_secs(answer.expires_in);
    let expires = now.checked_add(lifetime).ok_or(ExchangeError::Answer("its capability never expires"))?;
    let nodes = kept(answer.nodes);
    if nodes.is_empty() {
        return Err(ExchangeError::Answer("it names no node"));
    }
    let tls = if answer.trust_roots.is_empty() {
        Arc::clone(&identity.node_tls)
    } else {
        let roots = Roots::from_pem("the server's answer", answer.trust_roots.join("\n").as_bytes())
            .map_err(|_| ExchangeError::Answer("its roots are malformed"))?;
        tls::agent_client(&roots, ALPN).map_err(ExchangeError::Roots)?
    };
    Ok(Grant { capability, lifetime, expires, nodes, tls })
}

/// The ones that come first are preferred.
fn kept(mut nodes: Vec<NodeAddress>) -> Vec<NodeAddress> {
    nodes.truncate(NODES_MAX);
    nodes
}

impl ExchangeError {
    /// What it means for the next try.
    pub(crate) fn verdict(self, server: &ServerAddress) -> Verdict {
        match self {
            Self::Dial(error) => error.into(),
            Self::Tls(error) => crate::connect::handshake_setback(&error, server.host()).into(),
            Self::Refused { status, problem, retry_after } => refused(status, problem, retry_after, server),
            Self::Deadline => {
                Setback::new(Reason::Unreachable, format!("{server} did not answer in time")).into()
            }
            other @ (Self::Http(_) | Self::Answer(_) | Self::Roots(_)) => {
                Setback::new(Reason::Protocol, format!("{server}: {other}")).into()
            }
        }
    }
}

/// A refusal is for good only if it is Adit's own: what stands before it may answer anything during a deploy.
fn refused(
    status: StatusCode,
    problem: Option<Box<Problem>>,
    retry_after: Duration,
    server: &ServerAddress,
) -> Verdict {
    let passes = matches!(status.as_u16(), 408 | 421 | 425 | 429) || !status.is_client_error();
    match problem {
        Some(problem) if problem.code == Code::NotTheServer.to_string() => {
            let message = format!("{server} is the address of an endpoint, not of the server");
            let advice = "Name the server itself, with --server, ADIT_SERVER or in the configuration file.";
            Refusal { code: Some(problem.code), ..Refusal::new(ExitStatus::Refused, message, advice) }.into()
        }
        Some(problem) if !passes => {
            let status = if status == StatusCode::UNAUTHORIZED {
                ExitStatus::Authentication
            } else {
                ExitStatus::Refused
            };
            Refusal { code: Some(problem.code), ..Refusal::new(status, problem.title, problem.detail) }.into()
        }
        Some(problem) => {
            let message = format!("{server}: {}", problem.title);
            let setback = Setback::new(Reason::Unavailable, message).retry_after(retry_after);
            Setback { code: Some(problem.code), ..setback }.into()
        }
        None if status == StatusCode::UNAUTHORIZED => Refusal::key_rejected().into(),
        None if status == StatusCode::FORBIDDEN => {
            let advice = "Ask whoever runs the server, or whatever stands before it.";
            Refusal::new(ExitStatus::Refused, format!("{server} forbids it (status 403)"), advice).into()
        }
        None if passes => {
            let message = format!("{server} is not available (status {})", status.as_u16());
            Setback::new(Reason::Unavailable, message).retry_after(retry_after).into()
        }
        None => {
            let message = format!("{server} does not answer as Adit does (status {})", status.as_u16());
            Setback::new(Reason::Protocol, message).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_api::capability::NodeAddress;

    use super::kept;
    use crate::limits::NODES_MAX;

    #[test]
    fn so_many_nodes_are_kept_the_first_ones() {
        for (named, stay) in
            [(NODES_MAX - 1, NODES_MAX - 1), (NODES_MAX, NODES_MAX), (NODES_MAX + 1, NODES_MAX)]
        {
            let host = |n: usize| format!("n{n}.example");
            let node = |n| NodeAddress { host: host(n), port: 443, sni: host(n) };
            let hosts: Vec<_> =
                kept((0..named).map(node).collect()).into_iter().map(|node| node.host).collect();
            assert_eq!(hosts, (0..stay).map(host).collect::<Vec<_>>());
        }
    }
}
