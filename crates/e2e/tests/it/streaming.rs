//! Answers that grow while they are read, and connections that stop to be HTTP.

use std::time::Duration;

use adit_e2e::{Pattern, Scene, digest, empty, within};
use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

const STEP: Duration = Duration::from_secs(20);

#[tokio::test]
async fn each_event_arrives_before_the_next_is_released() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let answer = connection.get("/sse").await?;
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
        let mut body = answer.into_body();
        let parts = scene.origin.parts().await?;
        for number in 0..50 {
            let event = format!("id: {number}\ndata: tick\n\n");
            parts.send(event.clone()).await?;
            assert_eq!(next_bytes(&mut body, event.len()).await?, event.as_bytes());
        }
        drop(parts);
        assert_eq!(digest(body).await?.0.bytes, 0);
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_learns_that_its_reader_has_left() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let body = connection.get("/sse").await?.into_body();
        let parts = scene.origin.parts().await?;
        parts.send("data: one\n\n").await?;
        drop((body, connection));
        let refused = async { while parts.send("data: more\n\n").await.is_ok() {} };
        within("the origin's body is no longer wanted", STEP, refused).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_websocket_carries_large_messages_both_ways() -> Result<()> {
    let scene = Scene::start().await?;
    echo_messages(scene.visitor.tcp().await?, &format!("ws://{}/websocket", scene.visitor.http_authority()))
        .await?;
    let tls = scene.visitor.tls(&["http/1.1"]).await?;
    echo_messages(tls, &format!("wss://{}/websocket", scene.visitor.https_authority())).await
}

#[tokio::test]
async fn another_protocol_is_carried_as_it_is() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in [scene.visitor.http().await?, scene.visitor.https().await?] {
        let request = asking_for(connection.request(Method::GET, "/upgrade", empty())?, "Knock/2", "Upgrade");
        let answer = connection.send(request).await?;
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(answer.headers()[UPGRADE], "Knock/2");
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await?);
        // The other side speaks, and this side has ended: half-close passes.
        let sent = Pattern::new(1).take(3_000_000);
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let write = async {
            write.write_all(&sent).await?;
            write.shutdown().await
        };
        let mut back = Vec::new();
        let (written, got) =
            within("an echo", STEP, async { tokio::join!(write, read.read_to_end(&mut back)) }).await?;
        written?;
        got?;
        assert_eq!(back.len(), sent.len());
        assert!(back == sent, "the echo differs");
    }
    Ok(())
}

#[tokio::test]
async fn an_upgrade_to_cleartext_http_2_is_not_honoured() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in [scene.visitor.http().await?, scene.visitor.https().await?] {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, HTTP2-Settings"));
        headers.insert(UPGRADE, HeaderValue::from_static("h2c"));
        headers.insert("http2-settings", HeaderValue::from_static("AAMAAABkAARAAAAAAAIAAAAA"));
        let seen = connection.get_json("/echo-headers", headers).await?;
        let fields: Vec<(String, String)> = serde_json::from_value(seen["headers"].clone())?;
        let told = |name: &str| fields.iter().any(|(field, _)| field == name);
        assert!(!told("upgrade") && !told("http2-settings"), "{fields:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_refuses_is_an_ordinary_answer() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in [scene.visitor.http().await?, scene.visitor.https().await?] {
        for _ in 0..2 {
            let request =
                asking_for(connection.request(Method::GET, "/status/403", empty())?, "websocket", "upgrade");
            let answer = connection.send(request).await?;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            answer.into_body().collect().await?;
        }
    }
    Ok(())
}

fn asking_for<B>(mut request: Request<B>, protocol: &'static str, token: &'static str) -> Request<B> {
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static(token));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    request
}

async fn next_bytes(body: &mut Incoming, count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let frame =
            within("the next event", STEP, body.frame()).await?.context("the events have ended")??;
        bytes.extend_from_slice(&frame.into_data().ok().context("trailers")?);
    }
    Ok(bytes)
}

async fn echo_messages<S: AsyncRead + AsyncWrite + Unpin>(stream: S, url: &str) -> Result<()> {
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    for (seed, bytes) in [(1, 0), (2, 1), (3, 1024 * 1024), (4, 1024 * 1024), (5, 125)] {
        let message = Message::binary(Pattern::new(seed).take(bytes));
        socket.send(message.clone()).await?;
        let back = within("an echo", STEP, socket.next()).await?.context("the socket has ended")??;
        ensure!(back == message, "the echo of {bytes} bytes differs");
    }
    socket.close(None).await?;
    while let Some(message) = within("the end of the socket", STEP, socket.next()).await? {
        assert!(message?.is_close());
    }
    Ok(())
}
