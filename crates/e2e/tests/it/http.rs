//! HTTP semantics that a proxy can get wrong.

use std::sync::Arc;

use adit_e2e::{Home, Parts, RawOrigin, Scene, Stack, Visitor, body_of, digest, empty, head_of};
use anyhow::Result;
use futures::stream;
use http::header::{CONTENT_LENGTH, ETAG, HOST, TE, TRAILER};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use http_body::Frame;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

#[tokio::test]
async fn head_has_the_length_and_no_body() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let request = connection.request(Method::HEAD, "/bytes/12345?seed=1", empty())?;
        let answer = connection.send(request).await?;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_LENGTH], "12345");
        assert_eq!(digest(answer.into_body()).await?.0.bytes, 0);
        // The connection is where it should be.
        assert_eq!(connection.download("/bytes/10?seed=1").await?.bytes, 10);
    }
    Ok(())
}

#[tokio::test]
async fn no_content_and_not_modified_have_no_body() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let answer = connection.get("/status/204").await?;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert!(!answer.headers().contains_key(CONTENT_LENGTH));
        assert_eq!(digest(answer.into_body()).await?.0.bytes, 0);
        let answer = connection.get("/status/304").await?;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers()[ETAG], "\"one\"");
        assert_eq!(digest(answer.into_body()).await?.0.bytes, 0);
        assert_eq!(connection.download("/bytes/10?seed=1").await?.bytes, 10);
    }
    Ok(())
}

#[tokio::test]
async fn statuses_of_the_upstream_stay_as_they_are() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        for status in [200, 201, 206, 301, 400, 404, 418, 429, 500, 502, 503, 599] {
            let answer = connection.get(&format!("/status/{status}")).await?;
            assert_eq!(answer.status().as_u16(), status);
            // Only Adit itself may say these.
            assert!(!answer.headers().contains_key("adit-error"), "{:?}", answer.headers());
            assert_ne!(answer.headers().get("adit-request-id"), Some(&HeaderValue::from_static("mine")));
            assert_eq!(digest(answer.into_body()).await?.0.bytes, format!("status {status}").len() as u64);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_body_follows_the_continue() -> Result<()> {
    let scene = Scene::start().await?;
    let mut stream = scene.visitor.tcp().await?;
    let authority = scene.visitor.http_authority();
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {authority}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let interim = head_of(&mut stream).await?;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    stream.write_all(b"hello").await?;
    let last = head_of(&mut stream).await?;
    assert!(last.starts_with("HTTP/1.1 200 "), "{last}");
    let upload = scene.origin.upload("the upload", |upload| upload.complete.is_some()).await?;
    assert_eq!((upload.bytes, upload.complete), (5, Some(true)));
    Ok(())
}

#[tokio::test]
async fn another_expectation_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let mut request = connection.request(Method::GET, "/", empty())?;
        request.headers_mut().insert("expect", HeaderValue::from_static("a-miracle"));
        let answer = connection.send(request).await?;
        assert_eq!(answer.status(), StatusCode::EXPECTATION_FAILED);
        assert_eq!(answer.headers()["adit-error"], "ADIT-1002");
    }
    Ok(())
}

#[tokio::test]
async fn trailers_come_back() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let mut request = connection.request(Method::GET, "/trailers", empty())?;
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let answer = connection.send(request).await?;
        let (body, trailers) = digest(answer.into_body()).await?;
        assert_eq!(body.bytes, 4);
        assert_eq!(trailers.unwrap_or_default().get("x-sum"), Some(&HeaderValue::from_static("42")));
    }
    Ok(())
}

#[tokio::test]
async fn trailers_go_there() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let mut last = HeaderMap::new();
        last.insert("x-sum", HeaderValue::from_static("43"));
        let frames = [Ok(Frame::data("body".into())), Ok(Frame::trailers(last))];
        let mut request = connection.request(Method::POST, "/upload", body_of(stream::iter(frames)))?;
        request.headers_mut().insert(TRAILER, HeaderValue::from_static("x-sum"));
        let answer = connection.send(request).await?;
        let body = http_body_util::BodyExt::collect(answer.into_body()).await?.to_bytes();
        let seen: serde_json::Value = serde_json::from_slice(&body)?;
        assert_eq!(seen["bytes"], 4);
        assert_eq!(seen["trailers"], serde_json::json!([["x-sum", "43"]]), "{:?}", connection.version());
    }
    Ok(())
}

#[tokio::test]
async fn an_absolute_target_is_taken_and_a_contradiction_is_not() -> Result<()> {
    let scene = Scene::start().await?;
    let authority = scene.visitor.http_authority();
    for (host, status) in [(authority.as_str(), 200), ("other.localhost", 400)] {
        let mut stream = scene.visitor.tcp().await?;
        let head = format!("GET http://{authority}/echo-headers HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let answer = head_of(&mut stream).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let mut connection = scene.visitor.http().await?;
    let mut request = connection.request(Method::GET, "/", empty())?;
    *request.uri_mut() = format!("http://{authority}/echo-headers?x=y").parse()?;
    let answer = connection.send(request).await?;
    let body = http_body_util::BodyExt::collect(answer.into_body()).await?.to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body)?;
    assert_eq!(seen["target"], "/echo-headers?x=y");
    Ok(())
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    let host = format!("Host: {}", scene.visitor.http_authority());
    for fields in [
        String::new(),
        format!("{host}\r\n{host}"),
        format!("{host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked"),
        format!("{host}\r\nContent-Length: 3\r\nContent-Length: 4"),
        format!("{host}\r\nTransfer-Encoding: chunked, identity"),
        format!("{host}\r\nContent-Length: +3"),
        format!("{host}\r\nX-Folded: a\r\n b"),
        format!("{host}\r\nSpace : a"),
    ] {
        let mut stream = scene.visitor.tcp().await?;
        stream.write_all(format!("POST /upload HTTP/1.1\r\n{fields}\r\n\r\nabc").as_bytes()).await?;
        let answer = head_of(&mut stream).await?;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?} is answered with {answer}");
    }
    assert_eq!(scene.origin.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn connect_and_trace_are_refused() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in [scene.visitor.http().await?, scene.visitor.https().await?] {
        let request = connection.request(Method::TRACE, "/", empty())?;
        let answer = connection.send(request).await?;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let authority = scene.visitor.http_authority();
    let mut stream = scene.visitor.tcp().await?;
    stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
    let answer = head_of(&mut stream).await?;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_eq!(scene.origin.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn an_http_1_0_visitor_is_served() -> Result<()> {
    let scene = Scene::start().await?;
    let authority = scene.visitor.http_authority();
    let mut connection = scene.visitor.http().await?;
    let mut request = connection.request(Method::GET, "/chunked/70000?seed=5", empty())?;
    *request.version_mut() = Version::HTTP_10;
    request.headers_mut().insert(HOST, HeaderValue::from_str(&authority)?);
    let answer = connection.send(request).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(digest(answer.into_body()).await?.0.bytes, 70_000);
    Ok(())
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let scene = Scene::start().await?;
    let host = scene.visitor.http_authority();
    let mut stream = scene.visitor.tcp().await?;
    let requests: String = [201, 404, 204]
        .map(|status| format!("GET /status/{status} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .concat();
    stream.write_all(requests.as_bytes()).await?;
    for (status, body_bytes) in [(201, 10), (404, 10), (204, 0)] {
        let answer = head_of(&mut stream).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let mut body = vec![0; body_bytes];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_request_body_flows_while_it_is_written() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let (parts, body) = Parts::channel();
        let pieces = async {
            for count in 1..=5_u64 {
                parts.send("part").await?;
                scene.origin.upload("each part", |upload| upload.bytes == 4 * count).await?;
            }
            drop(parts);
            anyhow::Ok(())
        };
        let (answer, sent) = tokio::join!(connection.upload("/upload", body), pieces);
        sent?;
        assert_eq!(answer?["bytes"], 20);
    }
    Ok(())
}

#[tokio::test]
async fn hints_arrive_while_the_answer_is_awaited() -> Result<()> {
    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    let seen = Arc::new(Notify::new());
    let released = Arc::clone(&seen);
    let origin = RawOrigin::start(move |mut stream| {
        let released = Arc::clone(&released);
        async move {
            head_of(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nAdit-Error: x\r\n\r\n").await?;
            released.notified().await;
            stream
                .write_all(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
            Ok(())
        }
    })
    .await?;
    let mut agent = home.http(&origin.port(), Some("app"))?;
    let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
    let mut stream = visitor.tls(&["http/1.1"]).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", visitor.https_authority());
    stream.write_all(request.as_bytes()).await?;
    assert_eq!(head_of(&mut stream).await?, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    seen.notify_one();
    assert_eq!(head_of(&mut stream).await?, "HTTP/1.1 102 Processing\r\n\r\n");
    assert!(head_of(&mut stream).await?.starts_with("HTTP/1.1 200 OK\r\n"));
    Ok(())
}
