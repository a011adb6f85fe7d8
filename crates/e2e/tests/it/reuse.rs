//! Connections to an upstream that serve more than one request, and never at the price of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_e2e::{RawOrigin, Scene, empty, head_of, text};
use anyhow::Result;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ROUNDS: usize = 50;

#[tokio::test]
async fn visitors_share_an_upstream_connection() -> Result<()> {
    let scene = Scene::start().await?;
    for _ in 0..7 {
        for mut connection in scene.visitor.each().await? {
            assert_eq!(connection.download("/bytes/1000?seed=1").await?.bytes, 1000);
        }
    }
    assert_eq!(scene.origin.requests(), 21);
    // The end of a message and its connection's return cross sometimes; one each would be 21.
    assert!(scene.origin.connections() <= 5, "{} connections", scene.origin.connections());
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_hangs_up_after_each_answer_loses_no_request() -> Result<()> {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    // It promises to keep the connection, and closes it, as a server does that has just run out of patience.
    let origin = RawOrigin::start(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            let head = head_of(&mut stream).await?;
            let mut body = vec![0; if head.starts_with("POST") { 4 } else { 0 }];
            stream.read_exact(&mut body).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            Ok(stream.shutdown().await?)
        }
    })
    .await?;
    let scene = Scene::start_with(&origin.port()).await?;
    let mut requests = 0;
    for mut connection in scene.visitor.each().await? {
        for round in 0..ROUNDS {
            for (method, body) in [(Method::POST, text("body")), (Method::GET, empty())] {
                let request = connection.request(method.clone(), "/", body)?;
                let answer = connection.send(request).await?;
                assert_eq!(answer.status(), StatusCode::OK, "{method} in round {round}");
                assert_eq!(answer.into_body().collect().await?.to_bytes(), "ok");
                requests += 1;
            }
        }
    }
    assert_eq!(seen.load(Ordering::SeqCst), requests, "a request was sent twice");
    Ok(())
}

#[tokio::test]
async fn bytes_after_an_answer_are_nobodys_answer() -> Result<()> {
    // More than was promised: whoever came next would take it for theirs.
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let origin = RawOrigin::start(move |mut stream| async move {
        loop {
            head_of(&mut stream).await?;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}");
            stream.write_all(answer.as_bytes()).await?;
        }
    })
    .await?;
    let scene = Scene::start_with(&origin.port()).await?;
    for _ in 0..ROUNDS {
        for mut connection in scene.visitor.each().await? {
            let answer = connection.get("/").await?;
            if answer.status() == StatusCode::OK {
                assert_eq!(answer.into_body().collect().await?.to_bytes(), "ok");
            } else {
                assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
            }
        }
    }
    Ok(())
}
