#![expect(clippy::unwrap_used, reason = "tests")]

use http::request::Parts;
use http::{Method, Request, Version};

use super::RequestAuthority;
use crate::limits::TARGET_BYTES_MAX;
use crate::reject::Reject;

fn parts(version: Version, target: &str, hosts: &[&[u8]]) -> Parts {
    let mut builder = Request::builder().version(version).uri(target);
    for host in hosts {
        builder = builder.header("host", *host);
    }
    builder.body(()).unwrap().into_parts().0
}

fn of(version: Version, target: &str, hosts: &[&[u8]]) -> Result<String, Reject> {
    RequestAuthority::of(&parts(version, target, hosts)).map(|authority| authority.to_string())
}

#[test]
fn one_host_in_origin_form() {
    let cases: &[(&str, Result<&str, Reject>)] = &[
        ("a.example", Ok("a.example")),
        ("A.EXAMPLE", Ok("a.example")),
        ("a.example.", Ok("a.example")),
        ("a.example:8443", Ok("a.example:8443")),
        ("a.example.:80", Ok("a.example:80")),
        ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
        ("localhost", Ok("localhost")),
        ("app.localhost:3000", Ok("app.localhost:3000")),
        ("127.0.0.1", Ok("127.0.0.1")),
        ("127.0.0.1:80", Ok("127.0.0.1:80")),
        ("[::1]", Ok("[::1]")),
        ("[::1]:443", Ok("[::1]:443")),
        ("[::ffff:10.0.0.1]", Ok("10.0.0.1")),
        ("", Err(Reject::HostMissing)),
        (".", Err(Reject::HostMalformed)),
        ("a..example", Err(Reject::HostMalformed)),
        ("a.example..", Err(Reject::HostMalformed)),
        (".a.example", Err(Reject::HostMalformed)),
        ("a.example:", Err(Reject::HostMalformed)),
        ("a.example:0", Err(Reject::HostMalformed)),
        ("a.example:65536", Err(Reject::HostMalformed)),
        ("a.example:+80", Err(Reject::HostMalformed)),
        ("a.example:80:80", Err(Reject::HostMalformed)),
        ("a.example:8o", Err(Reject::HostMalformed)),
        ("user@a.example", Err(Reject::HostMalformed)),
        ("a.example@b.example", Err(Reject::HostMalformed)),
        ("a.example/b.example", Err(Reject::HostMalformed)),
        ("a.example?x", Err(Reject::HostMalformed)),
        ("a.example#x", Err(Reject::HostMalformed)),
        ("a.example, b.example", Err(Reject::HostMalformed)),
        ("a.example b.example", Err(Reject::HostMalformed)),
        ("a_b.example", Err(Reject::HostMalformed)),
        ("a%2eexample", Err(Reject::HostMalformed)),
        ("bücher.example", Err(Reject::HostMalformed)),
        ("a\texample", Err(Reject::HostMalformed)),
        ("*.example", Err(Reject::HostMalformed)),
        ("1.2.3", Err(Reject::HostMalformed)),
        ("127.0.0.1.", Err(Reject::HostMalformed)),
        ("256.0.0.1", Err(Reject::HostMalformed)),
        ("::1", Err(Reject::HostMalformed)),
        ("[::1", Err(Reject::HostMalformed)),
        ("[::1]x", Err(Reject::HostMalformed)),
        ("[::1%eth0]", Err(Reject::HostMalformed)),
        ("[a.example]", Err(Reject::HostMalformed)),
    ];
    for (host, wanted) in cases {
        let got = of(Version::HTTP_11, "/path", &[host.as_bytes()]);
        assert_eq!(got, wanted.map(str::to_owned), "{host:?}");
    }
    let mut asterisk = parts(Version::HTTP_11, "*", &[b"a.example"]);
    assert_eq!(RequestAuthority::of(&asterisk), Err(Reject::TargetMalformed));
    asterisk.method = Method::OPTIONS;
    assert!(RequestAuthority::of(&asterisk).is_ok());
}

#[test]
fn names_at_their_bound() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    for (host, good) in
        [(longest.clone(), true), (format!("{longest}."), true), (format!("{longest}a"), false)]
    {
        assert_eq!(RequestAuthority::parse(&host).is_ok(), good, "{}", host.len());
    }
    assert!(RequestAuthority::parse(&format!("{label}a.example")).is_err());
}

#[test]
fn the_number_of_hosts() {
    let two: &[&[u8]] = &[b"a.example", b"a.example"];
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(of(version, "/", two), Err(Reject::HostRepeated), "{version:?}");
        assert_eq!(of(version, "/", &[]), Err(Reject::HostMissing), "{version:?}");
        assert_eq!(of(version, "/", &[b"a.example"]), Ok("a.example".to_owned()), "{version:?}");
        assert_eq!(of(version, "http://a.example/", two), Err(Reject::HostRepeated), "{version:?}");
    }
    assert_eq!(of(Version::HTTP_11, "http://a.example/", &[]), Err(Reject::HostMissing));
    assert_eq!(of(Version::HTTP_10, "http://a.example/", &[]), Ok("a.example".to_owned()));
    assert_eq!(of(Version::HTTP_2, "https://a.example/", &[]), Ok("a.example".to_owned()));
}

#[test]
fn target_against_host() {
    let agree = [
        ("http://a.example/", "a.example"),
        ("http://A.Example./", "a.example"),
        ("http://a.example:80/", "a.example"),
        ("https://a.example/", "a.example:443"),
        ("https://a.example:8443/", "a.example:8443"),
        ("http://[::1]:80/", "[0:0::1]"),
    ];
    let contradict = [
        ("http://a.example/", "b.example"),
        ("http://a.example:8080/", "a.example"),
        ("http://a.example/", "a.example:443"),
        ("http://a.example/", "x.a.example"),
        ("http://127.0.0.1/", "localhost"),
    ];
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        for (target, host) in agree {
            assert!(of(version, target, &[host.as_bytes()]).is_ok(), "{version:?} {target} {host}");
        }
        for (target, host) in contradict {
            let got = of(version, target, &[host.as_bytes()]);
            assert_eq!(got, Err(Reject::HostContradicts), "{version:?} {target} {host}");
        }
    }
    for target in
        ["http://user@a.example/", "http://user:secret@a.example/", "ftp://a.example/", "a.example:80"]
    {
        assert_eq!(of(Version::HTTP_11, target, &[b"a.example"]), Err(Reject::HostMalformed), "{target}");
    }
}

#[test]
fn host_that_is_no_text() {
    assert_eq!(of(Version::HTTP_11, "/", &[b"a\xff.example"]), Err(Reject::HostMalformed));
}

#[test]
fn methods_and_expectations() {
    let with = |method: &str, expect: Option<&str>| {
        let mut builder = Request::builder().method(method).uri("/").header("host", "a.example");
        if let Some(expect) = expect {
            builder = builder.header("expect", expect);
        }
        RequestAuthority::of(&builder.body(()).unwrap().into_parts().0).map(drop)
    };
    for method in ["GET", "HEAD", "POST", "OPTIONS", "PURGE"] {
        assert_eq!(with(method, None), Ok(()), "{method}");
    }
    assert_eq!(with("CONNECT", None), Err(Reject::MethodNotServed));
    assert_eq!(with("TRACE", None), Err(Reject::MethodNotServed));
    assert_eq!(with("POST", Some("100-continue")), Ok(()));
    assert_eq!(with("POST", Some("100-Continue")), Ok(()));
    for expect in ["", "200-ok", "100-continue, x", "100-continue;q=1"] {
        assert_eq!(with("POST", Some(expect)), Err(Reject::ExpectationUnknown), "{expect:?}");
    }
    let status = |reject: Reject| reject.code().status();
    assert_eq!(status(Reject::MethodNotServed), 405);
    assert_eq!(status(Reject::ExpectationUnknown), 417);
    assert_eq!(status(Reject::TargetTooLong), 414);
    assert_eq!(status(Reject::HeadTooLarge), 431);
    assert_eq!(status(Reject::HostContradicts), 400);
}

#[test]
fn targets_at_their_bound() {
    for (bytes, wanted) in [
        (TARGET_BYTES_MAX - 1, Ok("a.example".to_owned())),
        (TARGET_BYTES_MAX, Ok("a.example".to_owned())),
        (TARGET_BYTES_MAX + 1, Err(Reject::TargetTooLong)),
    ] {
        let target = format!("/{}", "x".repeat(bytes - 1));
        assert_eq!(of(Version::HTTP_11, &target, &[b"a.example"]), wanted, "{bytes}");
    }
}
