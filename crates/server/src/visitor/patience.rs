//! How long each part of an exchange may be silent.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Version};

use crate::limits::REQUEST_BODY_IDLE;

/// Who has the word in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// The visitor until its request is whole, then the upstream.
    InTurn,
    /// Either at any time: a call of gRPC. Its own deadline stands in `grpc-timeout`, for the upstream.
    AtWill,
}

/// The silences that one exchange is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) request_body: Duration,
    /// Before the response's head, from the last part of the request that was sent; and in its body.
    pub(super) response: Duration,
}

impl Talk {
    /// Of a visitor's request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        if is_grpc(request) { Self::AtWill } else { Self::InTurn }
    }

    /// Where the tenant's plan allows so much silence. Services that have nothing to say yet are silent before their
    /// response as much as within it: long polls, work that takes its time, and a debugger.
    pub(super) fn patience(self, idle_max: Duration) -> Patience {
        let request_body = match self {
            Self::InTurn => REQUEST_BODY_IDLE.min(idle_max),
            Self::AtWill => idle_max,
        };
        Patience { request_body, response: idle_max }
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

    use super::{Patience, Talk};
    use crate::limits::{IDLE_MAX, REQUEST_BODY_IDLE};

    #[test]
    fn only_calls_of_grpc_are_spoken_at_will() {
        for (kind, version, talk) in [
            ("application/grpc", Version::HTTP_2, Talk::AtWill),
            ("application/grpc+proto", Version::HTTP_2, Talk::AtWill),
            ("application/grpc; a=b", Version::HTTP_2, Talk::AtWill),
            ("application/grpc", Version::HTTP_11, Talk::InTurn),
            ("application/grpc-web", Version::HTTP_2, Talk::InTurn),
            ("application/json", Version::HTTP_2, Talk::InTurn),
        ] {
            let request = Request::post("/").version(version).header("content-type", kind).body(()).unwrap();
            assert_eq!(Talk::of(&request), talk, "{kind}");
        }
        assert_eq!(Talk::of(&Request::new(())), Talk::InTurn);
    }

    #[test]
    fn the_plan_decides_unless_a_body_must_move() {
        let (second, longest) = (Duration::from_secs(1), REQUEST_BODY_IDLE);
        let less = longest.checked_sub(second).unwrap();
        for (idle_max, request_body) in [
            (second, second),
            (less, less),
            (longest, longest),
            (longest + second, longest),
            (IDLE_MAX, longest),
        ] {
            let patience = Patience { request_body, response: idle_max };
            assert_eq!(Talk::InTurn.patience(idle_max), patience);
            let patience = Patience { request_body: idle_max, response: idle_max };
            assert_eq!(Talk::AtWill.patience(idle_max), patience);
        }
    }
}
