use super::super::{node, relay};
use super::{Upstream, bytes_of, visit};

/// What must come of a response.
#[derive(Clone, Copy)]
enum Then {
    /// The visitor gets our 502 and nothing of it.
    BadGateway,
    /// Its head reaches the visitor, and the body is visibly cut.
    Cut,
    /// The visitor gets a response with this status that ends like this.
    Passed(u16, &'static str),
}
use Then::{BadGateway, Cut, Passed};

/// `OK` stands for the line of a good response, `EVIL` for a second response, `LONG` for 20 KiB.
const ROWS: &[(&str, Then)] = &[
    // Lengths (RFC 9112 section 6).
    ("OK Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("OK Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("OK Content-Length: 2\r\nContent-Length: 2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: 2\r\nContent-Length: 3\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: 2, 2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: 2, 3\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: +2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: -2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: 0x2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: two\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length:\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: 18446744073709551616\r\n\r\nhi", BadGateway),
    ("OK Content-Length : 2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length:\r\n 2\r\n\r\nhiEVIL", BadGateway),
    ("OK X: y\nContent-Length: 2\r\n\r\nhiEVIL", BadGateway),
    ("OK Content-Length: 2\n\nhiEVIL", BadGateway),
    ("HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhiEVIL", BadGateway),
    ("OK X: y\rContent-Length: 2\r\n\r\nhiEVIL", BadGateway),
    // Codings.
    ("OK Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nEVIL", BadGateway),
    ("OK Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("OK Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("OK Transfer-Encoding: identity\r\n\r\nhi", BadGateway),
    ("OK Transfer-Encoding: chunked;a\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("OK Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("OK Transfer-Encoding : chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BadGateway),
    // Fields and status lines.
    ("OK X: a\0b\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK X: a\u{7f}b\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK X: a\rb\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK X : y\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK (X): y\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK X\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("OK X: LONGLONG\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("ICY 200 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("hi", BadGateway),
    ("", BadGateway),
    // A change of protocol that nobody asked for, and interim responses.
    ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nEVIL", BadGateway),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\nEVIL", BadGateway),
    ("HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", BadGateway),
    ("HTTP/1.1 100 Continue\r\n\r\n", BadGateway),
    (
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Passed(200, "hi"),
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nConnection: X-Evil\r\nX-Evil: evil\r\nAdit-Error: evil\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Passed(200, "hi"),
    ),
    // Chunks.
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nx\r\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n-1\r\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0x1\r\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n2\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhiEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n2;a\nb\r\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n2;LONG\r\nhi\r\n0\r\n\r\n", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nFFFFFFFFFFFFFFFFF\r\nEVIL", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX : evil\r\n\r\n", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: a\0evil\r\n\r\n", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: LONGLONG\r\n\r\n", Cut),
    ("OK Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", Cut),
    ("OK Content-Length: 5\r\n\r\nhi", Cut),
    // What is understood in one way only, in our own writing.
    ("OK Content-Length: 2\r\n\r\nhiEVIL", Passed(200, "\r\n\r\nhi")),
    (
        "OK Transfer-Encoding: CHUNKED\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\nEVIL",
        Passed(200, "2\r\nhi\r\n0\r\n\r\n"),
    ),
    (
        "OK Transfer-Encoding: chunked\r\nTrailer: Content-Length, Adit-Error, X-Sum\r\n\r\n\
         2\r\nhi\r\n0\r\nContent-Length: 7\r\nAdit-Error: evil\r\nTransfer-Encoding: evil\r\nX-Sum: 1\r\n\r\n",
        Passed(200, "2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n"),
    ),
    (
        "OK Connection: close, X-Evil\r\nX-Evil: evil\r\nAdit-Error: evil\r\nAdit_Error: evil\r\nAdit-Request-Id: evil\r\nContent-Length: 2\r\n\r\nhi",
        Passed(200, "\r\n\r\nhi"),
    ),
    ("OK Content_Length: 7\r\nContent-Length: 2\r\n\r\nhi", Passed(200, "\r\n\r\nhi")),
    ("HTTP/1.1 204 No Content\r\n\r\nEVIL", Passed(204, "\r\n\r\n")),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nEVIL", Passed(204, "\r\n\r\n")),
    ("HTTP/1.1 304 Not Modified\r\n\r\nEVIL", Passed(304, "\r\n\r\n")),
    ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", Passed(200, "\r\n\r\nhi")),
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", Passed(200, "\r\n\r\nhi")),
    ("HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nhi", Passed(599, "\r\n\r\nhi")),
];

fn written(row: &str) -> Vec<u8> {
    let text = match row.strip_prefix("OK ") {
        Some(rest) => format!("HTTP/1.1 200 OK\r\n{rest}"),
        None => row.to_owned(),
    };
    let evil = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil";
    bytes_of(&text.replace("EVIL", evil).replace("LONG", &"x".repeat(20 * 1024)))
}

/// What is wrong with what came of a response, if anything is.
fn fault(then: Then, got: &str) -> Option<&'static str> {
    if got.contains("evil") {
        return Some("the visitor saw what it must never see");
    }
    // Passed on as it is, but for its fields.
    let got = got.strip_prefix("HTTP/1.1 103 Early Hints\r\n\r\n").unwrap_or(got);
    if got.matches("HTTP/1.1 ").count() != 1 || got.matches("\r\nadit-request-id: ").count() != 1 {
        return Some("the visitor did not get one response with one id");
    }
    match then {
        BadGateway => {
            let answered = got.starts_with("HTTP/1.1 502 ") && got.contains("\r\nadit-error: ADIT-2005\r\n");
            (!answered).then_some("it is no bad gateway")
        }
        Cut => {
            let cut =
                got.starts_with("HTTP/1.1 200 ") && (got.ends_with("hi") || got.ends_with("2\r\nhi\r\n"));
            (!cut).then_some("it is not visibly cut")
        }
        Passed(status, end) => {
            let passed = got.get(9..12) == Some(status.to_string().as_str()) && got.ends_with(end);
            (!passed).then_some("it arrived otherwise")
        }
    }
}

#[tokio::test]
async fn no_response_is_understood_in_two_ways() {
    let mut faults = Vec::new();
    for &(row, then) in ROWS {
        let upstream = Upstream::answering(written(row)).await;
        let (h1, _) = node(relay(upstream.address)).await;
        let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nConnection: close, te\r\n\r\n";
        let got = visit(h1, request).await;
        if let Some(fault) = fault(then, &got) {
            faults.push(format!("{fault}: {row:?}\n  visitor: {got:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
