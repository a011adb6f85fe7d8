//! HTTP/1.1 from both sides, and what both versions have in common.

use std::convert::Infallible;

use adit_web::hygiene::{self, Forwarded};
use adit_web::limits::{ClientLimits, ServeLimits};
use adit_web::upgrade::Handshake;
use adit_web::{RequestAuthority, body, client, serve};
use http::header::{HeaderName, LOCATION};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::ext::Protocol;

use crate::connection::{pipe, run, stranger};
use crate::relay;

/// A visitor who writes anything is answered or dropped, and what goes on to an upstream is one request, whole or cut.
pub fn visitor(data: &[u8]) {
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        relay::request(request).await;
        Ok::<_, Infallible>(Response::new(body::full("answer")))
    });
    let (ours, theirs) = pipe();
    let heard = run(async {
        let served = serve::http1(ours, service, ServeLimits::default(), std::future::pending());
        let (served, heard) = tokio::join!(served, stranger(theirs, data));
        drop(served);
        heard
    });
    assert!(heard.is_empty() || heard.starts_with(b"HTTP/1."), "an answer that is not HTTP");
}

/// No two readers understand the length differently.
pub(crate) fn one_length(headers: &HeaderMap) {
    let (lengths, codings) = (headers.get_all("content-length"), headers.get_all("transfer-encoding"));
    let (lengths, codings) = (lengths.iter().count(), codings.iter().count());
    assert!(lengths + codings <= 1, "a length that two readers understand differently");
}

/// An upstream that answers anything: its response is refused, or reaches a visitor as it was, whole or cut.
pub fn upstream(data: &[u8]) {
    let (ours, theirs) = pipe();
    run(async {
        let Ok(sender) = client::handshake(ours, ClientLimits::default()).await else { return };
        tokio::join!(relay::response(sender), stranger(theirs, data));
    });
}

/// An authority that is accepted reads the same again.
pub fn authority(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(authority) = RequestAuthority::parse(text) else { return };
    assert_eq!(RequestAuthority::parse(&authority.to_string()).ok(), Some(authority));
}

/// Fields, one in a line, as a visitor's and as an upstream's: none of ours is theirs, none of one hop goes on.
pub fn headers(data: &[u8]) {
    let fields = data.split(|byte| *byte == b'\n').take(64).filter_map(field).collect::<Vec<_>>();
    let asked = of_a_visitor(&fields);
    let mut response = Response::new(());
    *response.headers_mut() = fields.into_iter().collect();
    if hygiene::response(&mut response, asked.as_ref()).is_ok() {
        one_length(response.headers());
        assert!(!response.headers().contains_key("adit-error"), "the upstream speaks in our name");
    }
}

/// Where an upstream sends a visitor. The input is the host that the upstream was sent and, in the next line, its `Location`:
/// that stays as it is, or is the same place at the host that the visitor asked for.
pub fn location(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((upstream, location)) = text.split_once('\n') else { return };
    let (Ok(upstream), Ok(location)) = (upstream.parse::<Authority>(), HeaderValue::from_str(location))
    else {
        return;
    };
    let visitor = forwarded(RequestAuthority::parse("app.example:8443").expect("an authority"));
    let mut headers = HeaderMap::from_iter([(LOCATION, location.clone())]);
    hygiene::location(&mut headers, &upstream, &visitor);
    let fields: Vec<_> = headers.get_all(LOCATION).iter().collect();
    let [moved] = fields[..] else { panic!("{fields:?}") };
    if *moved != location {
        let (old, new) = (location.as_bytes(), moved.as_bytes());
        let path = new.strip_prefix(b"https://app.example:8443").expect("the host of the visitor");
        assert!(old.ends_with(path) && matches!(path.first(), None | Some(b'/' | b'?' | b'#')), "{moved:?}");
        assert!(!path.contains(&b'\r') && !path.contains(&b'\n'));
    }
}

/// A handshake for WebSocket that a node makes, and an upstream that does not know its key: whatever it answers, the visitor
/// takes none for a connection. The input is a status, and fields of the request and of the answer, one in a line.
pub fn websocket(data: &[u8]) {
    let [high, low, data @ ..] = data else { return };
    let fields = data.split(|byte| *byte == b'\n').take(64).filter_map(field).collect::<Vec<_>>();
    let mut request = Request::connect("https://app.example/chat").body(()).expect("a request");
    request.headers_mut().extend(fields.iter().cloned());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    Handshake::begin(&mut request).expect("it is carried");
    assert_eq!(request.method(), Method::GET);
    let of =
        |name: &str| request.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    assert_eq!((of("upgrade"), of("connection")), (vec![&b"websocket"[..]], vec![&b"upgrade"[..]]));
    assert_eq!(of("sec-websocket-key").len(), 1);
    let handshake = request.extensions().get::<Handshake>().expect("a handshake").clone();
    let Ok(status) = StatusCode::from_u16(u16::from_be_bytes([*high, *low])) else { return };
    let mut answer = Response::new(());
    *answer.status_mut() = status;
    answer.headers_mut().extend(fields);
    let settled = handshake.settle(&mut answer);
    let is_connection = status == StatusCode::SWITCHING_PROTOCOLS || status.is_success();
    assert_eq!((settled.is_err(), answer.status()), (is_connection, status));
}

/// A request goes on only with an authority that `web` has read from it.
fn of_a_visitor(fields: &[(HeaderName, HeaderValue)]) -> Option<HeaderValue> {
    let mut request = Request::new(body::empty());
    request.headers_mut().extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    let (parts, body) = request.into_parts();
    let authority = RequestAuthority::of(&parts).ok()?;
    let mut request = Request::from_parts(parts, body);
    let asked = hygiene::request(&mut request, &forwarded(authority));
    clean(request.headers());
    asked
}

/// What we say about a visitor.
pub(crate) fn forwarded(authority: RequestAuthority) -> Forwarded {
    let visitor = std::net::Ipv4Addr::LOCALHOST.into();
    Forwarded { visitor, scheme: hygiene::Scheme::Https, authority }
}

/// A request for an upstream: nothing in it belongs to the visitor's hop, or is ours and said by the visitor.
pub(crate) fn clean(sent: &HeaderMap) {
    for name in ["te", "proxy-connection", "keep-alive", "proxy-authorization", "adit-error"] {
        assert!(sent.get(name).is_none_or(|value| name == "te" && value == "trailers"), "{name} goes on");
    }
    assert_eq!(sent.get_all("host").iter().count(), 1);
    assert_eq!(sent.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["127.0.0.1"]);
    one_length(sent);
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let at = line.iter().position(|byte| *byte == b':')?;
    Some((HeaderName::from_bytes(&line[..at]).ok()?, HeaderValue::from_bytes(&line[at + 1..]).ok()?))
}
