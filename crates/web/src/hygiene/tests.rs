#![expect(clippy::unwrap_used, reason = "tests")]

mod responses;

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

use super::{Forwarded, Scheme, request, trailers};
use crate::authority::RequestAuthority;

/// Everything by which a visitor could claim to come from elsewhere, or to speak for this node.
const CLAIMS: [&str; 42] = [
    "X-Forwarded-For",
    "x-forwarded-for",
    "X_Forwarded_For",
    "X-Forwarded_For",
    "X_Forwarded-For",
    "X-Forwarded-Host",
    "X_Forwarded_Host",
    "X-Forwarded-Proto",
    "X_Forwarded_Proto",
    "X-Forwarded-Port",
    "X_FORWARDED_PORT",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Protocol",
    "X-Forwarded-By",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X-Forwarded",
    "X_Forwarded",
    "Forwarded",
    "FORWARDED",
    "X-Real-IP",
    "X_Real_IP",
    "X-Real_Ip",
    "X-Client-IP",
    "X_Client_IP",
    "Client-IP",
    "Client_IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "True_Client_IP",
    "CF-Connecting-IP",
    "CF_Connecting_IP",
    "Fastly-Client-IP",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "Adit-Error",
    "Adit-Request-Id",
    "adit_request_id",
    "ADIT-TENANT",
];

fn forwarded() -> Forwarded {
    Forwarded {
        visitor: "192.0.2.7".parse::<IpAddr>().unwrap(),
        scheme: Scheme::Https,
        authority: RequestAuthority::parse("a.example").unwrap(),
    }
}

type TestBody = UnsyncBoxBody<Bytes, std::convert::Infallible>;

fn nothing() -> TestBody {
    Empty::new().boxed_unsync()
}

/// A body whose length is not known before its end.
struct Unsized(Option<Bytes>);

impl http_body::Body for Unsized {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

fn cleaned(fields: &[(&str, &str)], body: TestBody) -> HeaderMap {
    let mut builder = Request::get("/p?q=1").header("host", "A.example:443");
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    let mut message = builder.body(body).unwrap();
    request(&mut message, &forwarded());
    message.into_parts().0.headers
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn no_claim_of_the_visitor_arrives() {
    for claim in CLAIMS {
        let headers = cleaned(&[(claim, "203.0.113.66")], nothing());
        assert!(headers.values().all(|value| value != "203.0.113.66"), "{claim}: {headers:?}");
        assert_eq!(texts(&headers, "x-forwarded-for"), ["192.0.2.7"], "{claim}");
        assert_eq!(texts(&headers, "x-forwarded-proto"), ["https"], "{claim}");
        assert_eq!(texts(&headers, "x-forwarded-host"), ["a.example"], "{claim}");
        assert_eq!(texts(&headers, "x-forwarded-port"), ["443"], "{claim}");
        assert_eq!(headers.len(), 5, "{claim}: {headers:?}");
    }
}

#[test]
fn a_claim_cannot_remove_ours() {
    let nominated = "close, X-Forwarded-For, x-forwarded-proto, Host, adit-request-id";
    let headers = cleaned(&[("connection", nominated)], nothing());
    assert_eq!(texts(&headers, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(texts(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(texts(&headers, "host"), ["A.example:443"]);
    assert!(!headers.contains_key("connection"));
}

#[test]
fn what_belongs_to_one_hop_stays_there() {
    let dropped = [
        ("connection", "keep-alive, X-Secret"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("keep_alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("proxy_authorization", "Basic eA=="),
        ("proxy", "http://evil.example"),
        ("te", "gzip"),
        ("transfer_encoding", "chunked"),
        ("content_length", "5"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("expect", "100-continue"),
    ];
    let kept = [("accept", "*/*"), ("authorization", "Bearer x"), ("trailer", "x-sum"), ("x_custom", "1")];
    let headers = cleaned(&[dropped.as_slice(), kept.as_slice()].concat(), nothing());
    for (name, value) in kept {
        assert_eq!(texts(&headers, name), [value]);
    }
    assert_eq!(headers.len(), kept.len() + 5, "{headers:?}");
}

#[test]
fn trailers_are_asked_for_only_where_the_visitor_takes_them() {
    let headers = cleaned(&[("te", "gzip;q=0.5, trailers")], nothing());
    assert_eq!(texts(&headers, "te"), ["trailers"]);
    assert_eq!(texts(&headers, "connection"), ["te"]);
}

#[test]
fn an_upgrade_is_carried_without_http2() {
    let asks =
        [("connection", "keep-alive, Upgrade"), ("upgrade", "h2c, websocket"), ("sec-websocket-key", "k")];
    let headers = cleaned(&asks, nothing());
    assert_eq!(texts(&headers, "connection"), ["upgrade"]);
    assert_eq!(texts(&headers, "upgrade"), ["websocket"]);
    assert_eq!(texts(&headers, "sec-websocket-key"), ["k"]);
}

#[test]
fn the_length_follows_from_the_body() {
    let hello = || Full::new(Bytes::from_static(b"hello")).boxed_unsync();
    let unknown = || Unsized(Some(Bytes::from_static(b"hello"))).boxed_unsync();
    let length = |headers: &HeaderMap| {
        (texts(headers, "content-length").join(","), texts(headers, "transfer-encoding").join(","))
    };
    for (stated, body, wanted) in [
        (None, nothing(), ("", "")),
        (Some("0"), nothing(), ("0", "")),
        (Some("5"), hello(), ("5", "")),
        (None, hello(), ("5", "")),
        (Some("7"), hello(), ("5", "")),
        (None, unknown(), ("", "chunked")),
        (Some("5"), unknown(), ("", "chunked")),
    ] {
        let fields: Vec<_> = stated.map(|stated| ("content-length", stated)).into_iter().collect();
        let headers = cleaned(&fields, body);
        assert_eq!(length(&headers), (wanted.0.to_owned(), wanted.1.to_owned()), "{stated:?}");
    }
}

#[test]
fn http2_becomes_http1() {
    let mut message = Request::get("https://A.example:8443/p?q=1")
        .version(Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("cookie", "c=3")
        .body(nothing())
        .unwrap();
    let authority = RequestAuthority::parse("A.example:8443").unwrap();
    request(&mut message, &Forwarded { authority, ..forwarded() });
    assert_eq!(message.version(), Version::HTTP_11);
    assert_eq!(message.uri(), "/p?q=1");
    assert_eq!(texts(message.headers(), "host"), ["A.example:8443"]);
    assert_eq!(texts(message.headers(), "cookie"), ["a=1; b=2; c=3"]);
    assert_eq!(texts(message.headers(), "x-forwarded-host"), ["a.example:8443"]);
    assert_eq!(texts(message.headers(), "x-forwarded-port"), ["8443"]);
}

#[test]
fn targets_become_origin_form() {
    for (target, wanted) in [
        ("/", "/"),
        ("/a?b=c", "/a?b=c"),
        ("*", "*"),
        ("http://a.example", "/"),
        ("http://a.example?x", "/?x"),
    ] {
        let mut message = Request::options(target).header("host", "a.example").body(nothing()).unwrap();
        request(&mut message, &forwarded());
        assert_eq!(message.uri(), wanted, "{target}");
    }
}

#[test]
fn a_mapped_address_is_written_as_ipv4() {
    let mut message = Request::get("/").header("host", "a.example").body(nothing()).unwrap();
    let visitor = "::ffff:192.0.2.9".parse().unwrap();
    request(&mut message, &Forwarded { visitor, ..forwarded() });
    assert_eq!(texts(message.headers(), "x-forwarded-for"), ["192.0.2.9"]);
}

#[test]
fn trailers_carry_no_claims_and_no_framing() {
    let mut fields = HeaderMap::new();
    for name in CLAIMS.iter().copied().chain(["content-length", "transfer-encoding", "host", "connection"]) {
        fields.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), "1".parse().unwrap());
    }
    fields.append("grpc-status", "0".parse().unwrap());
    trailers(&mut fields);
    assert_eq!(fields.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
}
