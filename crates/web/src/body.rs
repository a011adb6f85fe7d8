//! The one body type that passes between services.

mod idle;
mod received;

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::Version;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;

pub use idle::IdleTimeout;
use received::Received;

/// A streamed body: data frames and trailers, with an end that tells a cut from a completion.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// No frame for the whole idle time.
    #[error("body made no progress in time")]
    Idle,
    /// This node ended it before its end: revoked, replaced, drained, or the stream under it was cut.
    #[error("body was cut before its end")]
    Cut,
    /// The visitor's side failed: connection lost, stream reset, framing broken.
    #[error("visitor's body failed")]
    Visitor(#[source] Box<dyn Error + Send + Sync>),
    /// The upstream's side failed in the same ways.
    #[error("upstream's body failed")]
    Upstream(#[source] Box<dyn Error + Send + Sync>),
}

/// A body without content.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

/// A body that is these bytes, with an explicit length.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

/// A visitor's request body as the common type: its failures are [`BodyError::Visitor`], its trailers are
/// clean (see [`crate::hygiene::trailers`]). `came_in` is the version of the request as it came.
#[must_use]
pub fn from_visitor(incoming: Incoming, came_in: Version) -> Body {
    Received::new(incoming, came_in, BodyError::Visitor).boxed_unsync()
}

/// An upstream's response body as the common type: its failures are [`BodyError::Upstream`], its trailers
/// are clean (see [`crate::hygiene::trailers`]). `came_in` is the version of the response as it came.
#[must_use]
pub fn from_upstream(incoming: Incoming, came_in: Version) -> Body {
    Received::new(incoming, came_in, BodyError::Upstream).boxed_unsync()
}

fn never(error: Infallible) -> BodyError {
    match error {}
}
