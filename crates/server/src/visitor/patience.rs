//! How long each part of an exchange may be silent.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Version};

use crate::limits::{GRPC_IDLE, REQUEST_BODY_IDLE, RESPONSE_BODY_IDLE, RESPONSE_HEAD_DEADLINE};

/// The silences that one exchange is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) request_body: Duration,
    /// From the last part of the request that was sent.
    pub(super) response_head: Duration,
    pub(super) response_body: Duration,
}

impl Patience {
    /// What a visitor's request is given. A call of gRPC is a conversation: either side may have nothing to say for long, and
    /// many servers send no head before their first message. Its own deadline stands in `grpc-timeout`, for the upstream.
    pub(super) fn with<B>(request: &Request<B>) -> Self {
        if is_grpc(request) {
            return Self { request_body: GRPC_IDLE, response_head: GRPC_IDLE, response_body: GRPC_IDLE };
        }
        Self {
            request_body: REQUEST_BODY_IDLE,
            response_head: RESPONSE_HEAD_DEADLINE,
            response_body: RESPONSE_BODY_IDLE,
        }
    }
}

/// `application/grpc`, `application/grpc+proto` and the like, over HTTP/2.
fn is_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let rest = kind.strip_prefix(b"application/grpc");
    request.version() == Version::HTTP_2 && rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use http::{Request, Version};

    use super::Patience;
    use crate::limits::{GRPC_IDLE, REQUEST_BODY_IDLE};

    #[test]
    fn only_calls_of_grpc_may_be_silent_for_long() {
        for (kind, version, idle) in [
            ("application/grpc", Version::HTTP_2, GRPC_IDLE),
            ("application/grpc+proto", Version::HTTP_2, GRPC_IDLE),
            ("application/grpc; a=b", Version::HTTP_2, GRPC_IDLE),
            ("application/grpc", Version::HTTP_11, REQUEST_BODY_IDLE),
            ("application/grpc-web", Version::HTTP_2, REQUEST_BODY_IDLE),
            ("application/json", Version::HTTP_2, REQUEST_BODY_IDLE),
        ] {
            let request = Request::post("/").version(version).header("content-type", kind).body(()).unwrap();
            assert_eq!(Patience::with(&request).request_body, idle, "{kind}");
        }
        assert_eq!(Patience::with(&Request::new(())).request_body, REQUEST_BODY_IDLE);
    }
}
