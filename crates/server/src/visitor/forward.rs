//! A request goes out to the agent's upstream, its response comes back; both are streamed.

use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_web::body::{self, End, Ending, IdleTimeout, OnEnd};
use adit_web::hygiene::{self, Forwarded};
use adit_web::{Body, RequestAuthority};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::VisitorConnection;
use super::failure::Failure;
use super::sending::{Late, Noted, Sending, answer_in_time};
use super::upgrade::{self, Switched};
use super::upstream::{Sharing, Upstream};
use crate::choice::Choice;
use crate::limits::{REQUEST_BODY_IDLE, RESPONSE_BODY_IDLE, RESPONSE_HEAD_DEADLINE};
use crate::metering::CountedBody;
use crate::node::Node;
use crate::routes::Route;

/// One exchange between a visitor and an upstream.
pub(super) struct Exchange {
    pub(super) node: Arc<Node>,
    pub(super) connection: Arc<VisitorConnection>,
    pub(super) route: Arc<Route>,
    pub(super) id: RequestId,
}

impl Exchange {
    /// Forwards a request and returns the upstream's response, or the code of an honest answer.
    pub(super) async fn run(
        self,
        authority: RequestAuthority,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Code> {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let forwarded =
            Forwarded { visitor: self.connection.peer.ip(), scheme: self.connection.scheme, authority };
        let asked = hygiene::request(&mut request, &forwarded);
        let (parts, incoming) = request.into_parts();
        let ties = names_pinning_scheme(&parts.headers, &AUTHORIZATION);
        let has_body = !incoming.is_end_stream();
        let repeatable = is_repeatable(&parts.method) && !has_body && asked.is_none();
        let (body, sending) = self.outgoing(incoming, has_body);
        let request = Request::from_parts(parts, body);

        let answer = self.exchange(request, repeatable);
        let answered = answer_in_time(sending.as_deref(), RESPONSE_HEAD_DEADLINE, answer).await;
        let (mut upstream, mut response) = answered.map_err(|Late| Code::UpstreamResponseTimeout)??;
        self.route.meter.request();
        if ties || names_pinning_scheme(response.headers(), &WWW_AUTHENTICATE) {
            upstream.tie();
        }
        let on_upstream = hyper::upgrade::on(&mut response);
        hygiene::response(&mut response, asked.as_ref()).map_err(|_| Code::UpstreamBroken)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let visitor = Switched {
                connection: self.connection,
                meter: Arc::clone(&self.route.meter),
                io: on_upgrade,
            };
            upgrade::carry(&self.node, visitor, on_upstream);
            return Ok(response.map(|_| body::empty()));
        }
        Ok(self.incoming(response, upstream, sending))
    }

    /// Sends the request, over a connection that is there already where that is safe.
    async fn exchange(
        &self,
        request: Request<Body>,
        repeatable: bool,
    ) -> Result<(Upstream, Response<Incoming>), Code> {
        let mut choice = Choice::default();
        let reusable = match self.connection.pinned(&self.route) {
            Some(pinned) => Some(pinned),
            None if repeatable => Upstream::reuse(&self.route, &mut choice),
            None => None,
        };
        let request = match reusable {
            Some(upstream) => match Self::on_reused(upstream, request, repeatable).await {
                Reused::Answered(upstream, response) => return Ok((upstream, response)),
                Reused::SendAgain(request) => request,
                Reused::Failed(code) => return Err(code),
            },
            None => request,
        };
        let peer = self.connection.peer;
        let mut upstream = Upstream::open(&self.node, &self.route, &mut choice, peer, self.id).await?;
        match upstream.send(request).await {
            Ok(response) => Ok((upstream, response)),
            Err(failure) => Err(failure.code),
        }
    }

    /// A kept connection may have been closed by the upstream at this very moment. What was not sent, or may be sent
    /// twice, goes out again on a fresh one.
    async fn on_reused(mut upstream: Upstream, request: Request<Body>, repeatable: bool) -> Reused {
        let copy = repeatable.then(|| copy_of(&request));
        match upstream.send(request).await {
            Ok(response) => Reused::Answered(upstream, response),
            Err(Failure { code, unsent }) => match unsent.or(copy) {
                Some(request) => Reused::SendAgain(request),
                None => Reused::Failed(code),
            },
        }
    }

    /// The visitor's body on its way out, and how far it has come.
    fn outgoing(&self, incoming: Incoming, has_body: bool) -> (Body, Option<Arc<Sending>>) {
        if !has_body {
            return (body::empty(), None);
        }
        let sending = Arc::new(Sending::new());
        let body = IdleTimeout::new(body::from_visitor(incoming), REQUEST_BODY_IDLE);
        let body = CountedBody::incoming(body, Arc::clone(&self.route.meter));
        (Noted::new(body, Arc::clone(&sending)).boxed_unsync(), Some(sending))
    }

    fn incoming(
        self,
        response: Response<Incoming>,
        upstream: Upstream,
        sending: Option<Arc<Sending>>,
    ) -> Response<Body> {
        let (connection, meter) = (self.connection, Arc::clone(&self.route.meter));
        let give_back = move |end: End| {
            let sent = sending.is_none_or(|sending| sending.is_whole());
            let whole = end.ending == Ending::Complete && sent;
            match (whole, upstream.sharing()) {
                (true, Sharing::OneVisitor) => connection.pin(upstream),
                (true, Sharing::Anybody) => upstream.into_pool(),
                // An early response, a cut or an error: nobody knows what the connection would say next.
                (false, _) => drop(upstream),
            }
        };
        response.map(|incoming| {
            let body = IdleTimeout::new(body::from_upstream(incoming), RESPONSE_BODY_IDLE);
            OnEnd::new(CountedBody::outgoing(body, meter), give_back).boxed_unsync()
        })
    }
}

enum Reused {
    Answered(Upstream, Response<Incoming>),
    SendAgain(Request<Body>),
    Failed(Code),
}

fn copy_of(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Methods whose request may be sent twice (RFC 9110, section 9.2.1), of those that upstreams really treat so.
fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// NTLM and Negotiate authenticate a connection, not a request (RFC 4559, section 6): such a connection must not
/// serve another visitor. One field may list several schemes (RFC 9110, section 11.6.1), so any word that is one of the
/// two counts; a connection that is tied in vain costs little.
fn names_pinning_scheme(headers: &HeaderMap, field: &HeaderName) -> bool {
    let names_one = |value: &[u8]| {
        let mut words = value.split(|byte| matches!(*byte, b' ' | b'\t' | b','));
        words.any(|word| word.eq_ignore_ascii_case(b"ntlm") || word.eq_ignore_ascii_case(b"negotiate"))
    };
    headers.get_all(field).iter().any(|value| names_one(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use http::header::WWW_AUTHENTICATE;
    use http::{HeaderMap, Method};

    use super::{is_repeatable, names_pinning_scheme};

    #[test]
    fn only_connection_authentication_pins() {
        let cases = [
            ("NTLM", true),
            ("ntlm TlRMTVNTUAAB", true),
            ("Negotiate oYIB", true),
            ("Negotiate, NTLM", true),
            ("Basic realm=\"x\",NTLM", true),
            ("Basic realm=ntlm", false),
            ("NTLMish", false),
            ("", false),
        ];
        for (value, pins) in cases {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, "Bearer".parse().unwrap());
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
            assert_eq!(names_pinning_scheme(&headers, &WWW_AUTHENTICATE), pins, "{value}");
        }
    }

    #[test]
    fn unsafe_methods_are_never_repeated() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert!(!is_repeatable(&method), "{method}");
        }
    }
}
