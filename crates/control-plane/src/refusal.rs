//! Refusals as programs read them.

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_web::answer::answer;
use axum::body::Body;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Response};

/// The problem document of `code` (RFC 9457), whatever the request said that it accepts.
pub(crate) fn refused(code: Code, request_id: RequestId) -> Response<Body> {
    let mut wants = HeaderMap::new();
    wants.insert(ACCEPT, HeaderValue::from_static("application/problem+json"));
    answer(code, request_id, &wants).map(Body::new)
}
