//! Visitors: each request is routed by its authority, and streamed both ways.

mod connection;
mod failure;
mod forward;
pub(crate) mod raw;
mod sending;
mod upgrade;
mod upstream;

pub(crate) use connection::VisitorConnection;

use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_domain::{EndpointKind, Hostname};
use adit_web::{Body, RequestAuthority, answer};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::node::Node;
use forward::Exchange;

/// Answers one request. What fails is an answer too.
pub(crate) async fn handle(
    node: Arc<Node>,
    connection: Arc<VisitorConnection>,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = RequestId::new();
    let (parts, body) = request.into_parts();
    let authority = match RequestAuthority::of(&parts) {
        Ok(authority) => authority,
        Err(reject) => return answer::refuse(reject, id, parts.version, &parts.headers),
    };
    // What an answer's shape depends on; the rest of the head goes on to the upstream.
    let (accept, agent) = (parts.headers.get(ACCEPT).cloned(), parts.headers.get(USER_AGENT).cloned());
    let request = Request::from_parts(parts, body);
    match route(node, connection, id, authority, request).await {
        Ok(mut response) => {
            answer::identify(response.headers_mut(), id);
            response
        }
        Err(code) => {
            tracing::debug!(%id, %code, "request answered by the node");
            let fields = [(ACCEPT, accept), (USER_AGENT, agent)];
            let asked: HeaderMap =
                fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            answer::answer(code, id, &asked)
        }
    }
}

async fn route(
    node: Arc<Node>,
    connection: Arc<VisitorConnection>,
    id: RequestId,
    authority: RequestAuthority,
    request: Request<Incoming>,
) -> Result<Response<Body>, Code> {
    let host = authority.hostname().ok_or(Code::EndpointUnknown)?;
    let reserved = node.reserved.get(host);
    let opened_for_reserved = connection.opened_for.as_ref().map(|name| node.reserved.contains_key(name));
    if opened_for_reserved.is_some_and(|opened_for| opened_for != reserved.is_some()) {
        return Err(Code::Misdirected);
    }
    if let Some(service) = reserved {
        let Ok(response) = service.clone().oneshot(request).await;
        return Ok(response);
    }
    let Some(route) = node.routes.get(host) else { return Err(unserved(&node, host).await) };
    if route.claimed.kind != EndpointKind::Http {
        return Err(Code::EndpointUnknown);
    }
    Exchange { node, connection, route, id }.run(authority, request).await
}

/// Why nobody serves this name.
async fn unserved(node: &Node, host: &Hostname) -> Code {
    match node.known.kind_of(node.directory.as_ref(), host).await {
        Ok(Some(EndpointKind::Http)) => Code::AgentOffline,
        // Endpoints of other kinds are not found by HTTP.
        Ok(_) => Code::EndpointUnknown,
        Err(error) => {
            // Visitors may not fill the log. That the directory is away is said where changes are followed.
            tracing::debug!(%error, "the directory cannot be asked whether an endpoint exists");
            Code::ControlPlaneUnavailable
        }
    }
}
