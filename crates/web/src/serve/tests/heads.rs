use super::{Visitor, echo};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, ServeLimits};

/// A whole request whose head has exactly this many bytes.
fn of_bytes(bytes: usize) -> String {
    let frame = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-Pad: \r\n\r\n".len();
    let pad = "x".repeat(bytes - frame);
    let text = format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-Pad: {pad}\r\n\r\n");
    assert_eq!(text.len(), bytes);
    text
}

/// A whole request with exactly this many header fields.
fn of_headers(headers: usize) -> String {
    let more = "X-A: 1\r\n".repeat(headers - 2);
    format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{more}\r\n")
}

async fn status(request: &str) -> String {
    let response = Visitor::of_http1(echo()).once(request).await;
    response.get(9..12).unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn head_bytes_at_their_bound() {
    assert_eq!(status(&of_bytes(HEAD_BYTES_MAX - 1)).await, "200");
    assert_eq!(status(&of_bytes(HEAD_BYTES_MAX)).await, "200");
    assert_eq!(status(&of_bytes(HEAD_BYTES_MAX + 1)).await, "431");
}

#[tokio::test(start_paused = true)]
async fn header_fields_at_their_bound() {
    assert_eq!(status(&of_headers(HEADERS_MAX - 1)).await, "200");
    assert_eq!(status(&of_headers(HEADERS_MAX)).await, "200");
    assert_eq!(status(&of_headers(HEADERS_MAX + 1)).await, "431");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_refused_at_the_bound() {
    let limits = ServeLimits { head_bytes_max: 8 * 1024, ..ServeLimits::default() };
    let endless = format!("GET / HTTP/1.1\r\nHost: a.example\r\nX-Pad: {}", "x".repeat(8 * 1024));
    let response = Visitor::limited(echo(), limits).once(&endless).await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}
