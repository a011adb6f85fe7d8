use tokio::io::AsyncWriteExt;

use super::{Visitor, echo};

/// Heads (and bodies) that a strict reader refuses. `HOST` stands for the request line and a `Host`.
const REFUSED: &[&str] = &[
    "HOST Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HOST Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "HOST transfer-ENCODING: chunked\r\ncontent-LENGTH:3\r\n\r\n0\r\n\r\n",
    "HOST Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "HOST Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HOST Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HOST Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "HOST X-A: 1\nContent-Length: 3\r\n\r\nabc",
    "HOST X-A: 1\r\n\n",
];

/// The same, refused by hyper itself: it may answer without a code, or just close.
const BROKEN: &[&str] = &[
    "HOST Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "HOST Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "HOST Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "HOST Content-Length: +3\r\n\r\nabc",
    "HOST Content-Length: 3, 3\r\n\r\nabc",
    "HOST Content-Length: -1\r\n\r\n",
    "HOST Content-Length: 99999999999999999999\r\n\r\nabc",
    "HOST Content-Length : 3\r\n\r\nabc",
    "HOST Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "HOST X-A: 1\r\n folded\r\n\r\n",
    "HOST X-A: a\0b\r\n\r\n",
    "HOST X-A: a\rb\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a.example\r\n\r\n",
    "GET /\r\n\r\n",
];

fn request(text: &str) -> String {
    text.replace("HOST ", "POST / HTTP/1.1\r\nHost: a.example\r\n")
}

#[tokio::test(start_paused = true)]
async fn ambiguous_lengths_are_refused_with_a_code_and_the_connection_closes() {
    for text in REFUSED {
        let smuggled = format!("{}GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n", request(text));
        let response = Visitor::of_http1(echo()).once(&smuggled).await;
        assert!(response.starts_with("HTTP/1.1 400"), "{text:?}: {response}");
        assert!(response.contains("adit-error: ADIT-1000"), "{text:?}: {response}");
        assert!(response.contains("connection: close"), "{text:?}: {response}");
        assert!(!response.contains("smuggled"), "{text:?}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn broken_heads_reach_no_service() {
    for text in BROKEN {
        let response = Visitor::of_http1(echo()).once(&request(text)).await;
        let status = response.get(..12).unwrap_or_default();
        assert!(matches!(status, "" | "HTTP/1.1 400" | "HTTP/1.0 400"), "{text:?}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_message_of_a_connection_is_read_strictly() {
    let before = [
        "GET /0 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
        "POST /3 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
    ]
    .concat();
    let bad = "POST /bad HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
    for pieces in [1, 3, 7, 100_000] {
        let mut visitor = Visitor::of_http1(echo());
        for piece in format!("{before}{bad}").as_bytes().chunks(pieces) {
            // The connection may be closed before the last piece.
            let _ = visitor.io.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let responses = visitor.rest().await;
        assert_eq!(responses.matches("HTTP/1.1 200").count(), 4, "{pieces}: {responses}");
        assert!(responses.contains("POST /2 hello0123456789|"), "{pieces}: {responses}");
        assert_eq!(responses.matches("HTTP/1.1 400").count(), 1, "{pieces}: {responses}");
        assert!(!responses.contains("/bad"), "{pieces}: {responses}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_upload_after_another_is_served() {
    let mut visitor = Visitor::of_http1(echo());
    for round in 0..5 {
        let head = format!("POST /{round} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
        visitor.send(&head).await;
        visitor.send("3\r\nabc\r\n").await;
        visitor.send("0\r\n\r\n").await;
        assert!(visitor.until("|").await.ends_with(&format!("POST /{round} abc|")));
    }
}
