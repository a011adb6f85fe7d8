//! How long each part of an exchange may be silent.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Version};

use crate::limits::{REQUEST_BODY_IDLE, RESPONSE_HEAD_DEADLINE};

/// The silences that one exchange is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) request_body: Duration,
    /// From the last part of the request that was sent.
    pub(super) response_head: Duration,
    pub(super) response_body: Duration,
}

impl Patience {
    /// What a visitor's request is given, where the tenant's plan allows so much silence. A call of gRPC is a conversation: either side may have nothing to say for long, and
    /// many servers send no head before their first message. Its own deadline stands in `grpc-timeout`, for the upstream.
    pub(super) fn with<B>(request: &Request<B>, idle_max: Duration) -> Self {
        let request_body = REQUEST_BODY_IDLE.min(idle_max);
        let is_grpc = is_grpc(request);
        Self {
            request_body: if is_grpc { idle_max } else { request_body },
            response_head: if is_grpc { idle_max } else { RESPONSE_HEAD_DEADLINE },
            response_body: idle_max,
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

    use std::time::Duration;

    use http::{Request, Version};

    use super::Patience;
    use crate::limits::{IDLE_MAX, REQUEST_BODY_IDLE, RESPONSE_HEAD_DEADLINE};

    #[test]
    fn only_calls_of_grpc_may_be_silent_for_long() {
        for (kind, version, idle) in [
            ("application/grpc", Version::HTTP_2, IDLE_MAX),
            ("application/grpc+proto", Version::HTTP_2, IDLE_MAX),
            ("application/grpc; a=b", Version::HTTP_2, IDLE_MAX),
            ("application/grpc", Version::HTTP_11, REQUEST_BODY_IDLE),
            ("application/grpc-web", Version::HTTP_2, REQUEST_BODY_IDLE),
            ("application/json", Version::HTTP_2, REQUEST_BODY_IDLE),
        ] {
            let request = Request::post("/").version(version).header("content-type", kind).body(()).unwrap();
            let patience = Patience::with(&request, IDLE_MAX);
            assert_eq!((patience.request_body, patience.response_body), (idle, IDLE_MAX), "{kind}");
        }
        let patience = Patience::with(&Request::new(()), IDLE_MAX);
        assert_eq!(patience.request_body, REQUEST_BODY_IDLE);
        // A plan that allows less.
        let short = Duration::from_secs(5);
        let patience = Patience::with(&Request::new(()), short);
        assert_eq!([patience.request_body, patience.response_body], [short; 2]);
        assert_eq!(patience.response_head, RESPONSE_HEAD_DEADLINE);
    }
}
