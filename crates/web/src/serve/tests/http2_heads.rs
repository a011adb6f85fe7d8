//! HTTP/2 requests that an HTTP/1.1 reader behind this node could understand otherwise, as data (RFC 9113 section 8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tower::service_fn;

use super::frames::{frame, next_frame, open};
use super::http2::serve;
use crate::authority::RequestAuthority;
use crate::service::{HttpService, boxed};
use crate::{answer, body};

type Fields = &'static [(&'static [u8], &'static [u8])];

const METHOD: (&[u8], &[u8]) = (b":method", b"POST");
const SCHEME: (&[u8], &[u8]) = (b":scheme", b"https");
const AUTHORITY: (&[u8], &[u8]) = (b":authority", b"a.example");
const PATH: (&[u8], &[u8]) = (b":path", b"/");
const LENGTH: (&[u8], &[u8]) = (b"content-length", b"3");

/// None of these may be taken for a whole request. The body is `abc`.
const REFUSED: &[Fields] = &[
    &[METHOD, SCHEME, AUTHORITY, PATH, LENGTH, LENGTH],
    &[METHOD, SCHEME, AUTHORITY, PATH, LENGTH, (b"content-length", b"4")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"2")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"4")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"0")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"+3")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"3, 3")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"transfer-encoding", b"chunked")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"connection", b"close")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"keep-alive", b"1")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"proxy-connection", b"close")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"upgrade", b"websocket")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"te", b"gzip")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"X-A", b"b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x a", b"b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x:a", b"b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x\r\na", b"b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x\0a", b"b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"", b"b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\r\nb: c")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\nb: c")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\0b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b":protocol", b"websocket")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b":status", b"200")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b":odd", b"a")],
    &[METHOD, SCHEME, AUTHORITY, PATH, PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, AUTHORITY],
    &[METHOD, METHOD, SCHEME, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY, (b"x", b"a"), PATH],
    &[SCHEME, AUTHORITY, PATH],
    &[METHOD, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY],
    &[METHOD, SCHEME, PATH],
    &[METHOD, SCHEME, AUTHORITY, (b":path", b"")],
    &[METHOD, SCHEME, AUTHORITY, (b":path", b"a")],
    &[METHOD, SCHEME, AUTHORITY, (b":path", b"*")],
    &[METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1\r\nx: y")],
    &[METHOD, SCHEME, AUTHORITY, (b":path", b"/a b")],
    &[METHOD, SCHEME, AUTHORITY, (b":path", b"https://b.example/")],
    &[(b":method", b"GET / HTTP/1.1"), SCHEME, AUTHORITY, PATH],
    &[(b":method", b"CONNECT"), SCHEME, AUTHORITY, PATH],
    &[(b":method", b"CONNECT"), AUTHORITY],
    &[(b":method", b"TRACE"), SCHEME, AUTHORITY, PATH],
    &[METHOD, (b":scheme", b"ftp"), AUTHORITY, PATH],
    &[METHOD, (b":scheme", b"https://b.example/"), AUTHORITY, PATH],
    &[METHOD, SCHEME, (b":authority", b""), PATH],
    &[METHOD, SCHEME, (b":authority", b"u@a.example"), PATH],
    &[METHOD, SCHEME, (b":authority", b"a.example/b"), PATH],
    &[METHOD, SCHEME, (b":authority", b"a.example, b.example"), PATH],
    &[METHOD, SCHEME, (b":authority", b"a.example\r\nx: y"), PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"b.example")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"a.example"), (b"host", b"a.example")],
    &[METHOD, SCHEME, PATH, (b"host", b"a.example"), (b"host", b"b.example")],
];

/// These are whole.
const TAKEN: &[Fields] = &[
    &[METHOD, SCHEME, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, LENGTH],
    &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"A.example:443"), (b"te", b"trailers")],
    &[METHOD, SCHEME, PATH, (b"host", b"a.example")],
];

/// Counts the requests that come whole and name one host.
fn counting(whole: &Arc<AtomicUsize>) -> HttpService {
    let whole = Arc::clone(whole);
    boxed(service_fn(move |request: Request<Incoming>| {
        let whole = Arc::clone(&whole);
        async move {
            let (parts, incoming) = request.into_parts();
            let id = adit_domain::id::RequestId::new();
            if let Err(reject) = RequestAuthority::of(&parts) {
                return Ok(answer::refuse(reject, id, parts.version, &parts.headers));
            }
            if incoming.collect().await.is_ok() {
                whole.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<_, std::convert::Infallible>(Response::new(body::full("ok")))
        }
    }))
}

/// Literals without indexing and without Huffman coding (RFC 7541 section 6.2.2).
fn encoded(fields: Fields) -> Vec<u8> {
    let text = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()], text].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

#[tokio::test(start_paused = true)]
async fn no_http2_request_is_understood_in_two_ways() {
    let mut faults = Vec::new();
    for (rows, wanted) in [(REFUSED, 0), (TAKEN, 1)] {
        for fields in rows {
            let whole = Arc::new(AtomicUsize::new(0));
            let (mut io, _served) = serve(counting(&whole));
            open(&mut io).await;
            io.write_all(&frame(1, 0x4, 1, &encoded(fields))).await.unwrap();
            io.write_all(&frame(0, 0x1, 1, b"abc")).await.unwrap();
            let (kind, body) = loop {
                match next_frame(&mut io).await {
                    (kind @ (1 | 3), 1, body) => break (kind, body),
                    (7, ..) => break (7, Vec::new()),
                    _ => {}
                }
            };
            // `:status` 400 out of the static table, or 405 in Huffman's code.
            let refused = kind != 1 || body.first() == Some(&0x8c) || body.starts_with(b"\x48\x83\x68\x0d");
            if whole.load(Ordering::SeqCst) != wanted || refused != (wanted == 0) {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(n, v)| (n.escape_ascii().to_string(), v.escape_ascii().to_string()))
                    .collect();
                faults.push(format!("{fields:?}: frame {kind}, {whole:?} whole, {body:02x?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
