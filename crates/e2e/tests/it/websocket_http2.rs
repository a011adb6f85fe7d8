//! WebSocket over HTTP/2 (RFC 8441), to an upstream that knows it over HTTP/1.1.

use adit_e2e::{Digest, GrpcOrigin, Home, Scene, Speaks, Stack, Visitor};
use anyhow::{Context as _, Result};
use futures::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_websocket_carries_large_messages_beside_other_streams() -> Result<()> {
    let scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    let mut response = connection.extended_connect("/websocket", "websocket").await?;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    assert!(response.headers().contains_key("adit-request-id"));
    let upgraded = hyper::upgrade::on(&mut response).await?;
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    let (mut sink, mut messages) = socket.split();
    for round in 0..4_u8 {
        let message = Message::binary(vec![round; MIB]);
        let (sent, received) = tokio::join!(sink.send(message.clone()), messages.next());
        sent?;
        assert_eq!(received.context("no message")??, message);
        assert_eq!(connection.download("/bytes/50000?seed=1").await?, Digest::of_pattern(1, 50_000));
    }
    sink.close().await?;
    while let Some(Ok(_)) = messages.next().await {}
    Ok(())
}

#[tokio::test]
async fn what_is_no_websocket_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    // Another protocol.
    let response = connection.extended_connect("/websocket", "connect-udp").await?;
    assert_eq!((response.status().as_u16(), code(&response)), (501, Some("ADIT-1010")));
    // A service that does not change its protocol: to pass its 200 on would say that it had.
    let response = connection.extended_connect("/bytes/10?seed=1", "websocket").await?;
    assert_eq!((response.status().as_u16(), code(&response)), (502, Some("ADIT-2005")));
    // One that changes it without proving that it knows WebSocket.
    let response = connection.extended_connect("/upgrade", "websocket").await?;
    assert_eq!((response.status().as_u16(), code(&response)), (502, Some("ADIT-2005")));
    // One that says no.
    let response = connection.extended_connect("/status/403", "websocket").await?;
    assert_eq!((response.status().as_u16(), code(&response)), (403, None));
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_speaks_http2_has_none() -> Result<()> {
    let origin = GrpcOrigin::start(Speaks::Http2, None).await?;
    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    let port = origin.port();
    let mut agent = home.adit(&["http", &port, "--json", "--url", "demo", "--upstream-protocol", "http2"])?;
    let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
    let response = visitor.http2().await?.extended_connect("/websocket", "websocket").await?;
    assert_eq!((response.status().as_u16(), code(&response)), (501, Some("ADIT-1010")));
    Ok(())
}

fn code<B>(response: &http::Response<B>) -> Option<&str> {
    response.headers().get("adit-error").and_then(|code| code.to_str().ok())
}
