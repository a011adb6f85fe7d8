//! WebSocket over HTTP/2 (RFC 8441), turned into the upgrade that an HTTP/1.1 upstream knows (RFC 6455), and back.
//!
//! Over HTTP/1.1 key and accept are the visitor's and the upstream's own affair, and pass as they are. Here this node is the
//! client of the handshake, so it makes the key and holds the upstream to it.

use adit_domain::id::RequestId;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;

use crate::reject::Reject;

/// What a server appends to a key before it hashes it (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The key of a handshake that this node makes for a visitor. Kept in the request's extensions.
#[derive(Clone, Debug)]
pub struct Handshake {
    accept: String,
}

/// An upstream did not answer as a WebSocket server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream's answer to a WebSocket handshake is none")]
pub struct NoWebSocket;

impl Handshake {
    /// Turns an extended CONNECT for `websocket` into a GET that asks to upgrade, and keeps the handshake with it. Every
    /// other request is left alone.
    ///
    /// # Errors
    /// [`Reject::ProtocolNotCarried`] for an extended CONNECT to any other protocol.
    pub fn begin<B>(request: &mut Request<B>) -> Result<(), Reject> {
        let Some(protocol) = request.extensions_mut().remove::<Protocol>() else { return Ok(()) };
        if request.method() != Method::CONNECT || protocol.as_str() != "websocket" {
            return Err(Reject::ProtocolNotCarried);
        }
        let key = base64(&RequestId::new().to_bytes());
        let accept = accept_of(key.as_bytes());
        *request.method_mut() = Method::GET;
        *request.version_mut() = Version::HTTP_11;
        let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
        let headers = request.headers_mut();
        if let (false, Some(Ok(host))) = (headers.contains_key(HOST), authority) {
            headers.insert(HOST, host);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(key) = HeaderValue::try_from(key) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
        request.extensions_mut().insert(Self { accept });
        Ok(())
    }

    /// Turns the upstream's answer into the visitor's: a 101 that proves to know the key becomes a 200 (RFC 8441
    /// section 5). An answer that refuses stays as it is.
    ///
    /// # Errors
    /// [`NoWebSocket`] for another proof, and for a success that is no change of protocol: a visitor would take it for one.
    pub fn settle<B>(&self, response: &mut Response<B>) -> Result<(), NoWebSocket> {
        let proven = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS if proven == Some(self.accept.as_bytes()) => {
                drop_handshake(response.headers_mut());
                *response.status_mut() = StatusCode::OK;
                *response.version_mut() = Version::HTTP_2;
                Ok(())
            }
            StatusCode::SWITCHING_PROTOCOLS => Err(NoWebSocket),
            status if status.is_success() => Err(NoWebSocket),
            _ => Ok(()),
        }
    }
}

fn drop_handshake(headers: &mut HeaderMap) {
    for field in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        headers.remove(field);
    }
}

/// What a server answers to a key (RFC 6455 section 4.2.2).
fn accept_of(key: &[u8]) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()).as_ref())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(piece.get(at).copied().unwrap_or_default()));
        let group = a << 16 | b << 8 | c;
        for (place, shift) in [18_u32, 12, 6, 0].into_iter().enumerate() {
            let index = usize::try_from(group >> shift & 63).unwrap_or_default();
            let letter = ALPHABET.get(index).copied().unwrap_or_default();
            text.push(if place <= piece.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http::{HeaderMap, Request, Response, StatusCode};
    use hyper::ext::Protocol;

    use super::{Handshake, NoWebSocket, accept_of, base64};
    use crate::reject::Reject;

    #[test]
    fn the_examples_of_the_rfcs() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn connect(protocol: &'static str) -> Request<()> {
        let mut request = Request::connect("https://a.example/chat").body(()).unwrap();
        request.extensions_mut().insert(Protocol::from_static(protocol));
        request
    }

    #[test]
    fn only_websocket_is_carried() {
        let mut request = connect("websocket");
        Handshake::begin(&mut request).unwrap();
        assert_eq!(request.method(), "GET");
        assert_eq!(request.headers().get("host").unwrap(), "a.example");
        assert_eq!(request.headers().get("upgrade").unwrap(), "websocket");
        assert_eq!(request.headers().get("sec-websocket-key").unwrap().len(), 24);
        assert_eq!(Handshake::begin(&mut connect("connect-udp")), Err(Reject::ProtocolNotCarried));
        let mut plain = Request::connect("a.example:443").body(()).unwrap();
        Handshake::begin(&mut plain).unwrap();
        assert_eq!(plain.method(), "CONNECT");
    }

    fn answer(status: u16, accept: Option<&str>) -> Response<()> {
        let mut response = Response::builder().status(status).header("upgrade", "websocket");
        if let Some(accept) = accept {
            response = response.header("sec-websocket-accept", accept);
        }
        response.body(()).unwrap()
    }

    #[test]
    fn the_upstream_must_know_the_key() {
        let mut request = connect("websocket");
        Handshake::begin(&mut request).unwrap();
        let handshake = request.extensions().get::<Handshake>().unwrap().clone();
        let accept = accept_of(request.headers().get("sec-websocket-key").unwrap().as_bytes());
        let mut good = answer(101, Some(&accept));
        handshake.settle(&mut good).unwrap();
        assert_eq!((good.status(), good.headers()), (StatusCode::OK, &HeaderMap::new()));
        for (status, accept, outcome) in [
            (101, None, Err(NoWebSocket)),
            (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), Err(NoWebSocket)),
            (200, Some(accept.as_str()), Err(NoWebSocket)),
            (204, None, Err(NoWebSocket)),
            (403, None, Ok(())),
            (302, None, Ok(())),
        ] {
            assert_eq!(handshake.settle(&mut answer(status, accept)), outcome, "{status} {accept:?}");
        }
    }
}
