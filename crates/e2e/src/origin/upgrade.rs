//! Connections that stop to be HTTP.

use anyhow::{Context as _, Result};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Shared;
use crate::body::{Body, empty, text};
use crate::ledger::{Counted, Ledger, Side};

/// A WebSocket that sends back each message.
pub(super) fn websocket(shared: &Shared, mut request: Request<Incoming>) -> Result<Response<Body>> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).context("no Sec-WebSocket-Key")?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))?;
    let upgrade = hyper::upgrade::on(&mut request);
    let ledger = shared.ledger.clone();
    shared.tasks.spawn("websocket", async move {
        let stream = WebSocketStream::from_raw_socket(io(upgrade, ledger).await?, Role::Server, None).await;
        let (mut sink, mut messages) = stream.split();
        while let Some(message) = messages.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                sink.send(message).await?;
            }
        }
        anyhow::Ok(())
    });
    let mut answer = switching("websocket")?;
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// Whatever protocol is asked for: every byte comes back, and then the end.
pub(super) fn echo(shared: &Shared, mut request: Request<Incoming>) -> Result<Response<Body>> {
    let Some(protocol) = request.headers().get(UPGRADE).cloned() else {
        return Ok(Response::new(text("no upgrade was asked for")));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let ledger = shared.ledger.clone();
    shared.tasks.spawn("echo", async move {
        let (mut read, mut write) = tokio::io::split(io(upgrade, ledger).await?);
        tokio::io::copy(&mut read, &mut write).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut write).await?;
        anyhow::Ok(())
    });
    switching(protocol.to_str()?)
}

async fn io(upgrade: OnUpgrade, ledger: Ledger) -> Result<Counted<TokioIo<Upgraded>>> {
    Ok(Counted::new(TokioIo::new(upgrade.await?), ledger, Side::Upstream))
}

fn switching(protocol: &str) -> Result<Response<Body>> {
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    Ok(answer.header(CONNECTION, "upgrade").header(UPGRADE, protocol).body(empty())?)
}
