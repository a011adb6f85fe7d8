//! A request goes out to the agent's upstream, its response comes back; both are streamed.

use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_domain::{Hostname, Sticky};
use adit_web::body::{self, IdleTimeout};
use adit_web::hygiene::{self, Forwarded};
use adit_web::upgrade::{Handshake, NoWebSocket, Tie};
use adit_web::{Body, RequestAuthority};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::VisitorConnection;
use super::memory::Memory;
use super::next::Repeat;
use super::patience::Talk;
use super::replay::Source;
use super::streaming::{Lent, Streaming};
use super::tries::{Answered, Message, Tries};
use super::upgrade::{self, Switched};
use super::upstream::Upstream;
use crate::access::Access;
use crate::choice::Known;
use crate::metering::{Count, CountedBody};
use crate::node::Node;
use crate::sticky;

/// One exchange between a visitor and an upstream.
pub(super) struct Exchange {
    pub(super) node: Arc<Node>,
    pub(super) connection: Arc<VisitorConnection>,
    pub(super) hostname: Hostname,
    pub(super) id: RequestId,
    pub(super) access: Access,
}

impl Exchange {
    /// Forwards a request and returns the upstream's response, or the code of an honest answer.
    pub(super) async fn run(
        self,
        authority: RequestAuthority,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Code> {
        // Ours, and nothing to the upstream.
        let mark = sticky::take(request.headers_mut());
        let visitor = Known { address: Some(self.connection.peer.ip()), mark };
        let on_upgrade = hyper::upgrade::on(&mut request);
        let forwarded =
            Forwarded { visitor: self.connection.peer.ip(), scheme: self.connection.scheme, authority };
        let talk = Talk::of(&request);
        let handshake = request.extensions_mut().remove::<Handshake>();
        let tie = request.extensions_mut().remove::<Tie>();
        let came_in = request.version();
        let asked = hygiene::request(&mut request, &forwarded);
        let ties = names_pinning_scheme(request.headers(), &AUTHORIZATION);
        let message = Message { visitor, ..self.message(request, came_in, talk, asked.is_some()) };
        let all_tries = Tries::new(&self.node, &self.connection, &self.hostname, self.id, message);
        let Answered { mut upstream, mut response, sending, patience, place } = all_tries.run().await?;
        let count = Count::new(Arc::clone(&upstream.tunnel().meter), self.access.clone());
        count.request();
        if ties || names_pinning_scheme(response.headers(), &WWW_AUTHENTICATE) {
            upstream.tie();
        }
        let on_upstream = hyper::upgrade::on(&mut response);
        let answered_in = response.version();
        hygiene::response(&mut response, asked.as_ref()).map_err(|_| Code::UpstreamBroken)?;
        upstream.manner().undress(response.headers_mut(), &forwarded);
        self.remember(&mut response, &upstream, visitor);
        let is_changed = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(handshake) = handshake {
            handshake.settle(&mut response).map_err(|NoWebSocket| Code::UpstreamBroken)?;
        }
        if is_changed {
            upstream.let_go(&self.node.visitor_tasks);
            let (connection, io) = (self.connection, on_upgrade);
            let visitor = Switched { connection, count, io, tie, place, idle_max: patience.response };
            upgrade::carry(&self.node, visitor, on_upstream);
            return Ok(response.map(|_| body::empty()));
        }
        if sending.as_ref().is_some_and(|sending| !sending.is_whole()) {
            // The rest of the request does not wait for a visitor who reads nothing.
            upstream.detach(&self.node.visitor_tasks);
        }
        let access = count.access().clone();
        let lent = Lent { upstream, sending, visitor: self.connection, access, _place: place };
        Ok(response.map(|incoming| {
            let body = Streaming::new(body::from_upstream(incoming, answered_in), lent);
            CountedBody::outgoing(IdleTimeout::new(body, patience.response), count).boxed_unsync()
        }))
    }

    fn message(
        &self,
        request: Request<Incoming>,
        came_in: Version,
        talk: Talk,
        asks_upgrade: bool,
    ) -> Message {
        let (head, incoming) = request.into_parts();
        let memory = Memory::of(came_in, &incoming);
        let has_body = !incoming.is_end_stream();
        let body =
            has_body.then(|| Source::new(body::from_visitor(incoming, came_in), self.node.holds.bytes()));
        let access = self.access.clone();
        let repeat = match (asks_upgrade, is_safe(&head.method) && !has_body) {
            (false, true) => Repeat::Once,
            _ => Repeat::Never,
        };
        let visitor = Known::default();
        Message { head, body, repeat, memory, talk, asks_upgrade, visitor, access }
    }

    /// Gives the visitor the cookie of the member that served it, if the pool asks for one and it has not that already.
    fn remember(&self, response: &mut Response<Incoming>, upstream: &Upstream, visitor: Known) {
        if upstream.tunnel().pooling.is_none() {
            return;
        }
        let Some(route) = self.node.routes.get(&self.hostname) else { return };
        let mark = route.mark(upstream.tunnel().instance);
        let is_asked = route.pooling().is_some_and(|pooling| pooling.sticky == Sticky::Cookie);
        if is_asked && visitor.mark != Some(mark) {
            sticky::put(response.headers_mut(), mark, self.connection.scheme);
        }
    }
}

/// Methods whose request may be sent twice (RFC 9110, section 9.2.1), of those that upstreams really treat so.
fn is_safe(method: &Method) -> bool {
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

    use super::{is_safe, names_pinning_scheme};

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
            assert!(!is_safe(&method), "{method}");
        }
    }
}
