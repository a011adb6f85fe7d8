//! Honest answers: what Adit itself says to a visitor, as a page, as JSON or as text.
//!
//! Nothing of the request stands in an answer, so there is nothing to escape and nothing to reflect.

mod moment;
mod page;
mod shape;

use std::fmt::Display;

use adit_api::{Code, Problem, Side};
use adit_domain::id::RequestId;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use crate::body::{self, Body};
use crate::reject::Reject;
use crate::value::value;
use shape::Shape;

/// The header with the code, `ADIT-nnnn`. An upstream cannot set it.
pub const ADIT_ERROR: HeaderName = HeaderName::from_static("adit-error");
/// The header with the request's id. An upstream cannot set it.
pub const ADIT_REQUEST_ID: HeaderName = HeaderName::from_static("adit-request-id");

/// The answer that `code` stands for, in the shape that the request's `Accept` prefers: a page for browsers,
/// `application/problem+json` (RFC 9457) for programs, a few lines for those who ask for text.
///
/// Good for HEAD as it is: the length is stated, and hyper leaves the body out.
#[must_use]
pub fn answer(code: Code, request_id: RequestId, request: &HeaderMap) -> Response<Body> {
    let (head, text) = parts(code, request_id, request);
    Response::from_parts(head, body::full(text))
}

/// The answer's head, and its text.
pub(crate) fn parts(code: Code, request_id: RequestId, request: &HeaderMap) -> (Parts, String) {
    let shape = Shape::preferred(request);
    let text = match shape {
        Shape::Page => page::render(code, request_id),
        Shape::Problem => problem(code, request_id),
        Shape::Text => plain(code, request_id),
    };
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = &mut head.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shape.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    insert(headers, ADIT_ERROR, code);
    identify(headers, request_id);
    if shape == Shape::Page {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::SECURITY_POLICY));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    demanded(headers, code);
    (head, text)
}

/// Sets the id under which this node knows the request.
pub fn identify(headers: &mut HeaderMap, request_id: RequestId) {
    insert(headers, ADIT_REQUEST_ID, request_id);
}

/// Gives a response an id that has none.
pub(crate) fn identified(mut response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(ADIT_REQUEST_ID) {
        identify(response.headers_mut(), RequestId::new());
    }
    response
}

/// The answer to a request that is refused for how it is written. An HTTP/1 connection closes after it: what
/// follows on it may not be what it seems.
#[must_use]
pub fn refuse(
    reject: Reject,
    request_id: RequestId,
    version: Version,
    request: &HeaderMap,
) -> Response<Body> {
    let mut response = answer(reject.code(), request_id, request);
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Seconds after which another try makes sense, where the code says that one does.
#[must_use]
pub const fn retry_after_s(code: Code) -> Option<u32> {
    match code {
        Code::AgentOffline | Code::ControlPlaneUnavailable | Code::NodeOverloaded => Some(5),
        Code::EndpointBusy | Code::EndpointFlooded | Code::NodeDraining | Code::TooManyRequests => Some(1),
        _ => None,
    }
}

/// Fields that a status demands (RFC 9110 sections 10.2.1, 10.2.3 and 11.6.1).
fn demanded(headers: &mut HeaderMap, code: Code) {
    if let Some(seconds) = retry_after_s(code) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match code.status() {
        401 => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        405 => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"))
        }
        _ => None,
    };
}

fn problem(code: Code, request_id: RequestId) -> String {
    let problem = Problem { request_id: Some(request_id.to_string()), ..Problem::new(code) };
    serde_json::to_string(&problem).unwrap_or_default()
}

fn plain(code: Code, request_id: RequestId) -> String {
    let (title, side, advice) = (code.title(), side(code.side()), code.advice());
    format!("{code}: {title}.\n{side}\n{advice}\nRequest {request_id}\n")
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Visitor => {
            "This is on the side of the request. The answer is not from the service behind this address."
        }
        Side::Owner => "This is on the side of whoever runs this address. Your request arrived here.",
        Side::Adit => "This is on the side of Adit, which carries requests to this address.",
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, shown: impl Display) {
    if let Some(value) = value(shown) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
