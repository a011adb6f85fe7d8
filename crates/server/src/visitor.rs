//! Visitors: each request is routed by its authority, and streamed both ways.

mod connecting;
mod connection;
mod failure;
mod forward;
mod giving_way;
mod memory;
mod next;
mod patience;
pub(crate) mod raw;
mod replay;
mod search;
mod sending;
mod streaming;
mod tries;
pub(crate) mod udp;
mod upgrade;
mod upstream;
mod waiting;

pub(crate) use connection::{Admission, VisitorConnection};

use std::sync::Arc;

use adit_api::{Code, capability};
use adit_domain::id::RequestId;
use adit_web::reject::Reject;
use adit_web::service::Peer;
use adit_web::upgrade::Handshake;
use adit_web::{Body, RequestAuthority, answer};
use http::header::{ACCEPT, CONNECTION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::access::Access;
use crate::node::Node;
use forward::Exchange;

/// Answers one request. What fails is an answer too.
pub(crate) async fn handle(
    node: Arc<Node>,
    connection: Arc<VisitorConnection>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let id = RequestId::new();
    let access = Access::of_request(id, connection.peer, &request, node.times());
    let refuse = |reject: Reject, version, headers: &HeaderMap| {
        access.refused(reject.code());
        let response = answer::refuse(reject, id, version, headers);
        access.answered(response.status());
        response
    };
    if let Err(reject) = Handshake::begin(&mut request) {
        return refuse(reject, request.version(), request.headers());
    }
    let (parts, body) = request.into_parts();
    let authority = match RequestAuthority::of(&parts) {
        Ok(authority) => authority,
        Err(reject) => return refuse(reject, parts.version, &parts.headers),
    };
    // What an answer's shape depends on; the rest of the head goes on to the upstream.
    let version = parts.version;
    let (accept, agent) = (parts.headers.get(ACCEPT).cloned(), parts.headers.get(USER_AGENT).cloned());
    let request = Request::from_parts(parts, body);
    let from = (Arc::clone(&connection), id, access.clone());
    match route(node, from, authority, request).await {
        Ok(mut response) => {
            answer::identify(response.headers_mut(), id);
            access.answered(response.status());
            response
        }
        Err(code) => {
            access.refused(code);
            tracing::debug!(%id, %code, "request answered by the node");
            let fields = [(ACCEPT, accept), (USER_AGENT, agent)];
            let asked: HeaderMap =
                fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let mut response = answer::answer(code, id, &asked);
            access.answered(response.status());
            // Where the node is overloaded, a descriptor is what is missing.
            if (code == Code::NodeOverloaded || connection.is_leaving()) && version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

async fn route(
    node: Arc<Node>,
    (connection, id, access): (Arc<VisitorConnection>, RequestId, Access),
    authority: RequestAuthority,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Code> {
    let host = authority.hostname().ok_or(Code::EndpointUnknown)?;
    access.for_hostname(host);
    if node.overload.sheds(&node.gate) {
        return Err(Code::NodeOverloaded);
    }
    if connection.is_refused() {
        connection.leave();
        return Err(Code::EndpointBusy);
    }
    let reserved = node.reserved.get(host);
    let opened_for_reserved = connection.opened_for.as_ref().map(|name| node.reserved.contains_key(name));
    if opened_for_reserved.is_some_and(|opened_for| opened_for != reserved.is_some()) {
        return Err(Code::Misdirected);
    }
    if let Some(service) = reserved {
        access.leave_out();
        request.extensions_mut().insert(Peer(connection.peer.ip()));
        let Ok(response) = Box::pin(service.clone().oneshot(request)).await;
        return Ok(response);
    }
    // It holds an API key, which is no upstream's to see.
    if request.uri().path() == capability::PATH {
        return Err(Code::NotTheServer);
    }
    let hostname = host.clone();
    Exchange { node, connection, hostname, id, access }.run(authority, request).await
}
