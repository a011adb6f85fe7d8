#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use adit_domain::UpstreamProtocol;

use super::{HostHeader, HttpVersion, Upstream, UpstreamError};
use crate::host_port::HostPortError;
use crate::limits::{HOST_BYTES_MAX, LABEL_BYTES_MAX};

#[test]
fn what_people_write() {
    let cases = [
        ("3000", "http://localhost:3000"),
        (":3000", "http://localhost:3000"),
        ("65535", "http://localhost:65535"),
        ("443", "https://localhost:443"),
        ("localhost:3000", "http://localhost:3000"),
        ("LocalHost:3000", "http://localhost:3000"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("my_app.lan:80", "http://my_app.lan:80"),
        ("box:443", "https://box:443"),
        ("http://box:443", "http://box:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("HTTP://localhost", "http://localhost:80"),
        ("https://localhost", "https://localhost:443"),
        ("https://[0:0::1]:8443", "https://[::1]:8443"),
    ];
    for (text, shown) in cases {
        assert_eq!(
            Upstream::parse(text).map(|upstream| upstream.to_string()),
            Ok(shown.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn what_people_write_for_tcp() {
    use UpstreamError::{Empty, HostPort, NoPort, OtherScheme, Path, UserInfo};
    for (text, shown) in [
        ("22", "tcp://localhost:22"),
        (":22", "tcp://localhost:22"),
        ("443", "tcp://localhost:443"),
        ("Box.lan:22", "tcp://box.lan:22"),
        ("[::1]:5432", "tcp://[::1]:5432"),
        ("TCP://localhost:22/", "tcp://localhost:22"),
    ] {
        assert_eq!(
            Upstream::parse_tcp(text).map(|upstream| upstream.to_string()),
            Ok(shown.to_owned()),
            "{text}"
        );
    }
    for (text, error) in [
        ("", Empty),
        (":", Empty),
        ("tcp://", Empty),
        ("0", HostPort(HostPortError::Port)),
        ("localhost", NoPort),
        ("tcp://localhost", NoPort),
        ("http://localhost:80", OtherScheme("tcp")),
        ("tls://localhost:443", OtherScheme("tcp")),
        ("::1:22", HostPort(HostPortError::Brackets)),
        ("localhost:22/path", Path),
        ("me@localhost:22", UserInfo),
    ] {
        assert_eq!(Upstream::parse_tcp(text), Err(error), "{text:?}");
    }
    assert_eq!(Upstream::parse_tls("443").unwrap().to_string(), "tls://localhost:443");
    assert_eq!(Upstream::parse_tls("tls://box:8443").unwrap().to_string(), "tls://box:8443");
    assert_eq!(Upstream::parse_tls("https://box"), Err(OtherScheme("tls")));
    let (http, tcp) = (Upstream::parse("22").unwrap(), Upstream::parse_tcp("22").unwrap());
    assert_ne!(http.label(), tcp.label(), "they are two endpoints");
}

#[test]
fn what_is_refused() {
    use UpstreamError::{Empty, HostPort, NoPort, Path, Scheme, UserInfo};
    let cases = [
        ("", Empty),
        (":", Empty),
        ("0", HostPort(HostPortError::Port)),
        ("65536", HostPort(HostPortError::Port)),
        ("99999999999999999999", HostPort(HostPortError::Port)),
        ("-1", NoPort),
        ("+80", HostPort(HostPortError::HostCharacter)),
        ("localhost", NoPort),
        ("localhost:", HostPort(HostPortError::Port)),
        ("localhost:+80", HostPort(HostPortError::Port)),
        ("localhost:http", HostPort(HostPortError::Port)),
        ("http://:3000", HostPort(HostPortError::NoHost)),
        ("http://", HostPort(HostPortError::NoHost)),
        ("::1:3000", HostPort(HostPortError::Brackets)),
        ("fe80::1:3000", HostPort(HostPortError::Brackets)),
        ("[::1", HostPort(HostPortError::Brackets)),
        ("[localhost]:3000", HostPort(HostPortError::Brackets)),
        ("[::1]3000", HostPort(HostPortError::Port)),
        ("ftp://localhost:21", Scheme),
        ("unix:///run/app.sock", Scheme),
        ("http://localhost:3000/path", Path),
        ("http://localhost:3000?query", Path),
        ("localhost:3000#fragment", Path),
        ("http://user:word@localhost:3000", UserInfo),
        ("local host:3000", HostPort(HostPortError::HostCharacter)),
        ("localhost\n:3000", HostPort(HostPortError::HostCharacter)),
        ("bücher:3000", HostPort(HostPortError::HostCharacter)),
    ];
    for (text, error) in cases {
        assert_eq!(Upstream::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn this_computer_by_its_name() {
    for text in ["3000", "127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "app.localhost:1"] {
        assert!(Upstream::parse(text).unwrap().is_loopback(), "{text}");
    }
    for text in ["localhost.example:1", "notlocalhost:1", "10.0.0.1:1", "0.0.0.0:1", "[::2]:1"] {
        assert!(!Upstream::parse(text).unwrap().is_loopback(), "{text}");
    }
}

#[test]
fn labels_are_bounded_and_distinct() {
    let named = |length: usize, end: &str| {
        // "http://" and ":80" are 10 bytes.
        Upstream::parse(&format!("http://{}{end}:80", "a".repeat(length - 10 - end.len()))).unwrap().label()
    };
    assert_eq!(named(LABEL_BYTES_MAX - 1, "").len(), LABEL_BYTES_MAX - 1);
    assert_eq!(named(LABEL_BYTES_MAX, ""), format!("http://{}:80", "a".repeat(LABEL_BYTES_MAX - 10)));
    assert_eq!(named(LABEL_BYTES_MAX + 1, "").len(), LABEL_BYTES_MAX);
    assert!(named(LABEL_BYTES_MAX + 1, "").contains('~'));
    assert_ne!(named(200, "x"), named(200, "y"));
    assert_eq!(Upstream::parse("3000").unwrap().label(), Upstream::parse("localhost:3000").unwrap().label());
}

#[test]
fn the_protocol_follows_from_version_and_scheme() {
    for (text, version, protocol) in [
        ("3000", HttpVersion::Http1, UpstreamProtocol::Http1),
        ("https://box", HttpVersion::Http1, UpstreamProtocol::Http1),
        ("3000", HttpVersion::Http2, UpstreamProtocol::H2c),
        ("https://box", HttpVersion::Http2, UpstreamProtocol::H2),
    ] {
        assert_eq!(Upstream::parse(text).unwrap().speaking(version).protocol(), protocol, "{text}");
    }
}

#[test]
fn the_host_that_is_sent() {
    for (upstream, wish, sent) in [
        ("3000", "preserve", ""),
        ("3000", "rewrite", "localhost:3000"),
        ("http://localhost:80", "rewrite", "localhost"),
        ("https://box", "rewrite", "box"),
        ("https://box:80", "rewrite", "box:80"),
        ("http://[::1]:3000", "rewrite", "[::1]:3000"),
        ("3000", "App.example", "app.example"),
        ("3000", "app.example:80", "app.example:80"),
        ("3000", "[::1]:80", "[::1]:80"),
    ] {
        let upstream = Upstream::parse(upstream).unwrap();
        let upstream = upstream.with_host_header(HostHeader::parse(wish).unwrap());
        assert_eq!(upstream.host_header(), sent, "{wish}");
    }
    for wrong in ["", "a b", "app:", "app:0", "http://app", "a/b"] {
        assert!(HostHeader::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_host_has_so_many_bytes() {
    let parsed = |bytes: usize| Upstream::parse(&format!("{}:80", "a".repeat(bytes)));
    assert!(parsed(HOST_BYTES_MAX - 1).is_ok());
    assert_eq!(parsed(HOST_BYTES_MAX).unwrap().host().len(), HOST_BYTES_MAX);
    assert!(parsed(HOST_BYTES_MAX + 1).is_err());
}
