use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_web::answer::answer;
use adit_web::service::boxed;

use super::{exchange, node, relay, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_arrives_clean_and_its_response_returns() {
    let (address, mut sent) = upstream("\r\n\r\n", OK).await;
    let (h1, _) = node(relay(address)).await;
    let response = exchange(
        h1,
        "GET /a?b=c HTTP/1.1\r\nHost: A.localhost:8080\r\nX-Forwarded-For: 6.6.6.6\r\nAccept: */*\r\n\
         Connection: close, X-Gone\r\nX-Gone: 1\r\n\r\n",
    )
    .await;
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
    let mut lines: Vec<_> = sent.recv().await.unwrap().trim_end().split("\r\n").map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(
        lines,
        [
            "GET /a?b=c HTTP/1.1",
            "accept: */*",
            "host: A.localhost:8080",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: a.localhost:8080",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
        ]
    );
}

#[tokio::test]
async fn a_chunked_body_arrives_whatever_the_method() {
    for method in ["GET", "POST", "DELETE"] {
        let (address, mut sent) = upstream("\r\n0\r\n\r\n", OK).await;
        let (h1, _) = node(relay(address)).await;
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        );
        assert!(exchange(h1, &request).await.ends_with("ok"));
        let got = sent.recv().await.unwrap();
        assert!(got.contains("transfer-encoding: chunked"), "{method}: {got}");
        assert!(got.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{method}: {got}");
    }
}

#[tokio::test]
async fn a_body_with_a_length_arrives_with_it() {
    let (address, mut sent) = upstream("hello", OK).await;
    let (h1, _) = node(relay(address)).await;
    let request = "PUT / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert!(exchange(h1, request).await.ends_with("ok"));
    let got = sent.recv().await.unwrap();
    assert!(got.contains("content-length: 5") && !got.contains("transfer-encoding"), "{got}");
}

#[tokio::test]
async fn continue_comes_from_the_node_and_is_not_passed_on() {
    let (address, mut sent) = upstream("hello", OK).await;
    let (h1, _) = node(relay(address)).await;
    let mut io = TcpStream::connect(h1).await.unwrap();
    let head = "PUT / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 5\r\n\
                Expect: 100-continue\r\n\r\n";
    io.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    io.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    io.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    io.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("ok"), "{rest}");
    assert!(!sent.recv().await.unwrap().contains("expect"));
}

#[tokio::test]
async fn responses_without_a_body_stay_without_one() {
    for (method, upstreams, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "200", Some("1234")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200", None),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", "200", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "204", None),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "304", None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200", Some("0")),
    ] {
        let (address, _sent) = upstream("\r\n\r\n", upstreams).await;
        let (h1, _) = node(relay(address)).await;
        let request = format!("{method} / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        let response = exchange(h1, &request).await;
        assert_eq!(response.get(9..12), Some(status), "{upstreams:?}: {response}");
        assert!(response.ends_with("\r\n\r\n"), "{upstreams:?}: {response}");
        let stated = response.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(stated, length, "{method} {upstreams:?}: {response}");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Adit-Error\r\n\r\n\
                  2\r\nok\r\n0\r\nX-Sum: 7\r\nAdit-Error: ADIT-1000\r\n\r\n";
    let (address, mut sent) = upstream("x-sum: 5\r\n\r\n", answer).await;
    let (h1, _) = node(relay(address)).await;
    let response = exchange(
        h1,
        "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close, TE\r\nTE: trailers\r\n\
         Transfer-Encoding: chunked\r\nTrailer: X-Sum, X-Forwarded-For\r\n\r\n\
         1\r\na\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Sum: 5\r\n\r\n",
    )
    .await;
    assert!(response.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{response}");
    let got = sent.recv().await.unwrap();
    assert!(got.ends_with("1\r\na\r\n0\r\nx-sum: 5\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn a_response_that_is_cut_is_seen_to_be_cut() {
    for (upstreams, end) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "\r\n\r\nshort"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "5\r\nhello\r\n"),
    ] {
        let (address, _sent) = upstream("\r\n\r\n", upstreams).await;
        let (h1, _) = node(relay(address)).await;
        let response = exchange(h1, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert!(response.ends_with(end) && !response.ends_with("0\r\n\r\n"), "{response}");
    }
}

#[tokio::test]
async fn hostile_responses_become_502() {
    for upstreams in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n",
        "nonsense",
        "",
    ] {
        let (address, _sent) = upstream("\r\n\r\n", upstreams).await;
        let (h1, _) = node(relay(address)).await;
        let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        let response = exchange(h1, request).await;
        assert!(response.starts_with("HTTP/1.1 502"), "{upstreams:?}: {response}");
        assert!(response.contains("adit-error: ADIT-2005"), "{upstreams:?}: {response}");
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_reaches_no_end_upstream() {
    let (address, mut sent) = upstream("\0", OK).await;
    let (h1, _) = node(relay(address)).await;
    let mut io = TcpStream::connect(h1).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    io.write_all(head.as_bytes()).await.unwrap();
    drop(io);
    let got = sent.recv().await.unwrap();
    assert!(!got.ends_with("0\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn refused_requests_reach_no_upstream() {
    let (address, mut sent) = upstream("\r\n\r\n", OK).await;
    let (h1, _) = node(relay(address)).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", "400"),
        ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "400"),
        ("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", "405"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nExpect: x\r\n\r\n", "417"),
    ] {
        let response = exchange(h1, request).await;
        assert_eq!(response.get(9..12), Some(status), "{request:?}: {response}");
        assert!(response.contains("adit-error: ADIT-100"), "{request:?}: {response}");
    }
    assert!(sent.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_to_an_upload_that_nobody_reads_is_not_lost() {
    let refuse = tower::service_fn(async |request: http::Request<hyper::body::Incoming>| {
        let answer = answer(Code::BodyTooLarge, RequestId::new(), request.headers());
        Ok::<_, std::convert::Infallible>(answer)
    });
    let (h1, _) = node(boxed(refuse)).await;
    // More than the sockets hold: the visitor still writes when the answer is there and the body is not read.
    let upload = "x".repeat(12 * 1024 * 1024);
    for framing in ["content-length: 12582912\r\n\r\n", "transfer-encoding: chunked\r\n\r\nc00000\r\n"] {
        let response =
            exchange(h1, &format!("POST / HTTP/1.1\r\nhost: a.example\r\n{framing}{upload}")).await;
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
        assert!(response.contains("ADIT-1004"), "{response}");
    }
}

#[tokio::test]
async fn bytes_after_an_upgrade_wait_for_its_answer() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let early =
        "GET /early HTTP/1.1\r\nHost: b.example\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let (address, mut sent) = upstream("\r\n\r\n", answer).await;
        let (h1, _) = node(relay(address)).await;
        let _ = exchange(h1, &format!("{upgrade}{early}")).await;
        let asked = sent.recv().await.unwrap();
        assert!(asked.starts_with("GET /ws ") && !asked.contains("/early"), "{asked}");
        // It was the next request all along, and is treated like any.
        let next = sent.recv().await.unwrap();
        assert!(next.starts_with("GET /early ") && !next.contains("6.6.6.6"), "{next}");
    }
    // Without an answer nobody ever gets them.
    let (address, mut sent) = upstream("\r\n\r\n", "").await;
    let (h1, _) = node(relay(address)).await;
    let response = exchange(h1, &format!("{upgrade}{early}")).await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert!(!sent.recv().await.unwrap().contains("/early"));
}
