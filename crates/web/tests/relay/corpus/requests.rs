use super::super::{node, relay};
use super::{Upstream, bytes_of, first_answer, visit};

/// What must come of a request.
#[derive(Clone, Copy)]
enum Then {
    /// Answered with this status; no upstream hears of it.
    Refused(u16),
    /// Its head may reach an upstream, its end never does.
    Cut,
    /// The upstream gets a request that begins and ends like this.
    Sent(&'static str, &'static str),
}
use Then::{Cut, Refused, Sent};

/// `POST` stands for the line and the `Host` of a good request, `SMUGGLED` for another request, `LONG` for 20 KiB.
const ROWS: &[(&str, Then)] = &[
    // Lengths (RFC 9112 section 6).
    ("POST Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Content-Length: 3\r\nContent-Length: 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 3\r\nContent-Length: 0\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 0\r\nContent-Length: 3\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Content-Length: 3, 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 3,\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: +3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: -3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 0x3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 3 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 3;a\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 3.0\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: \"3\"\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length:\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Content-Length: \u{b2}\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 18446744073709551616\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Content-Length: 99999999999999999999999\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Content-Length : 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length\t: 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length:\r\n 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST X: y\r\n Content-Length: 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST X: y\nContent-Length: 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST X: y\rContent-Length: 3\r\n\r\nabcSMUGGLED", Refused(400)),
    ("POST Content-Length: 3\n\nabcSMUGGLED", Refused(400)),
    // Codings (RFC 9112 sections 6.1 and 7).
    ("POST Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: identity\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: \u{a0}chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding:\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    ("POST Foo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", Refused(400)),
    (
        "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
        Refused(400),
    ),
    // Fields (RFC 9112 section 5).
    ("POST X: a\0b\r\n\r\n", Refused(400)),
    ("POST X: a\u{7f}b\r\n\r\n", Refused(400)),
    ("POST X: a\u{1}b\r\n\r\n", Refused(400)),
    ("POST X: a\rb\r\n\r\n", Refused(400)),
    ("POST X\0: y\r\n\r\n", Refused(400)),
    ("POST X\u{e9}: y\r\n\r\n", Refused(400)),
    ("POST X : y\r\n\r\n", Refused(400)),
    ("POST (X): y\r\n\r\n", Refused(400)),
    ("POST : y\r\n\r\n", Refused(400)),
    ("POST X\r\n\r\n", Refused(400)),
    ("POST X: a\r\n b\r\n\r\n", Refused(400)),
    ("POST X: a\r\n\tb\r\n\r\n", Refused(400)),
    ("POST / HTTP/1.1\r\n Host: a.example\r\n\r\n", Refused(400)),
    ("POST / HTTP/1.1\nHost: a.example\n\n", Refused(400)),
    ("POST X: y\r\n\n", Refused(400)),
    // Request lines and hosts (RFC 9112 section 3).
    ("GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET\t/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET /  HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET /\0 HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET /\u{7f} HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET a HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET * HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET ?a HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.2\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET / http/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/01.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET /\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("G\0T / HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET: / HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Cut),
    ("GET / HTTP/1.1\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example:0\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a.example:+80\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\u{e9}.example\r\n\r\n", Refused(400)),
    ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET http://a.example/ HTTP/1.1\r\n\r\n", Refused(400)),
    ("GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("GET a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
    ("CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\nSMUGGLED", Refused(405)),
    ("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(405)),
    ("POST Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", Refused(417)),
    // Chunks (RFC 9112 section 7.1).
    ("POST Transfer-Encoding: chunked\r\n\r\nx\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3 3\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : y\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: a\0b\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\nZ: y\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nabc", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    ("POST Transfer-Encoding: chunked\r\n\r\n3;LONG\r\nabc\r\n0\r\n\r\nSMUGGLED", Cut),
    // What is understood in one way only arrives, in our own writing.
    ("POST Content-Length: 3\r\n\r\nabc", Sent("POST / HTTP/1.1\r\n", "\r\n\r\nabc")),
    ("POST Content-Length:\t3 \r\n\r\nabc", Sent("POST / HTTP/1.1\r\n", "\r\n\r\nabc")),
    ("POST Content-Length: 0003\r\n\r\nabc", Sent("POST / HTTP/1.1\r\n", "\r\n\r\nabc")),
    (
        "POST Transfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        Sent("POST / HTTP/1.1\r\n", "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "POST Transfer-Encoding: chunked\r\n\r\n003  \r\nabc\r\n00;x\r\n\r\n",
        Sent("POST / HTTP/1.1\r\n", "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "POST Transfer-Encoding: chunked\r\nTrailer: Content-Length, Transfer-Encoding, Host, X-Forwarded-For\r\n\r\n\
         3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b.example\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
        Sent("POST / HTTP/1.1\r\n", "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "POST Connection: Content-Length, close\r\nContent-Length: 3\r\n\r\nabc",
        Sent("POST / ", "\r\n\r\nabc"),
    ),
    ("POST Content_Length: 9\r\nContent-Length: 3\r\n\r\nabc", Sent("POST / HTTP/1.1\r\n", "\r\n\r\nabc")),
    ("POST Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", Sent("POST / ", "\r\n\r\nabc")),
    ("\r\nGET /a?b HTTP/1.1\r\nHost: A.example:80\r\n\r\n", Sent("GET /a?b HTTP/1.1\r\n", "\r\n\r\n")),
    (
        "GET http://a.example/x HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
        Sent("GET /x HTTP/1.1\r\n", "\r\n\r\n"),
    ),
    ("GET http://a.example/x HTTP/1.0\r\n\r\n", Sent("GET /x HTTP/1.1\r\n", "\r\n\r\n")),
    ("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", Sent("OPTIONS * HTTP/1.1\r\n", "\r\n\r\n")),
    ("GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n", Sent("GET /a HTTP/1.1\r\n", "\r\n\r\n")),
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        Sent("GET / HTTP/1.1\r\n", "\r\n\r\n"),
    ),
];

/// Fields of which a refused or cleaned request must leave no trace upstream.
const NEVER: &[&str] =
    &["smuggled", "b.example", "6.6.6.6", "content_length", "transfer_encoding", "upgrade", "http2-settings"];

fn written(row: &str) -> Vec<u8> {
    let text = match row.strip_prefix("POST ") {
        Some(rest) if !rest.starts_with("/ ") => format!("POST / HTTP/1.1\r\nHost: a.example\r\n{rest}"),
        _ => row.to_owned(),
    };
    let text = text
        .replace("SMUGGLED", "GET /smuggled HTTP/1.1\r\nHost: b.example\r\n\r\n")
        .replace("LONG", &"x".repeat(20 * 1024));
    bytes_of(&text)
}

/// What is wrong with what came of a request, if anything is.
fn fault(then: Then, got: &str, sent: &[String]) -> Option<&'static str> {
    let upstream = sent.concat().to_ascii_lowercase();
    if NEVER.iter().any(|never| upstream.contains(never)) {
        return Some("the upstream saw what it must never see");
    }
    if got.starts_with("nothing for") {
        return Some("the visitor was left waiting");
    }
    match then {
        Refused(_) if !sent.is_empty() => Some("an upstream heard of it"),
        Refused(status) => {
            let answered = got.get(9..12) == Some(status.to_string().as_str())
                && got.contains("\r\nadit-error: ADIT-10")
                && got.contains("\r\nadit-request-id: ");
            (!answered).then_some("it was not refused in so many words")
        }
        Cut if got.contains(" 200 OK\r\n") => Some("it was answered"),
        Cut => sent.iter().any(|sent| sent.ends_with("0\r\n\r\n")).then_some("its end reached an upstream"),
        Sent(..) if !got.contains(" 200 OK\r\n") => Some("it was not answered"),
        Sent(begin, end) => {
            let whole = |sent: &String| sent.starts_with(begin) && sent.ends_with(end);
            (sent.len() != 1 || !sent.iter().all(whole)).then_some("it arrived otherwise")
        }
    }
}

#[tokio::test]
async fn no_request_is_understood_in_two_ways() {
    let mut faults = Vec::new();
    for &(row, then) in ROWS {
        let answer = bytes_of("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        let upstream = Upstream::answering(answer).await;
        let (h1, _) = node(relay(upstream.address)).await;
        let got = match then {
            Sent(..) => first_answer(h1, &written(row)).await,
            Refused(_) | Cut => visit(h1, &written(row)).await,
        };
        let sent = upstream.sent();
        if let Some(fault) = fault(then, &got, &sent) {
            faults.push(format!("{fault}: {row:?}\n  visitor: {got:?}\n  upstream: {sent:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
