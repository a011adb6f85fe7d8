//! What a visitor does with a stream of each kind. `Ok` is an end in order, an error is a cut that the visitor has seen.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use adit_e2e::{Connection, Messages, Origin, Parts, Upload, Visitor, empty, message};
use anyhow::{Context as _, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::speech::{Ear, Heard, Mouth};
use crate::tls::Service;

/// Long enough that no slow reader comes to its end.
const DOWNLOAD_BYTES: u64 = 100_000_000;

/// Another kind of connection for each number.
async fn connect(visitor: &Visitor, number: u64) -> Result<Connection> {
    match number % 3 {
        0 => visitor.http2().await,
        1 => visitor.https().await,
        _ => visitor.http().await,
    }
}

/// A body whose length is known, read slowly.
pub(super) async fn download(visitor: Visitor, mut ear: Ear, seed: u64) -> Result<()> {
    let mut connection = connect(&visitor, seed).await?;
    let answer = connection.get(&format!("/bytes/{DOWNLOAD_BYTES}?seed={seed}")).await?;
    ensure!(answer.status() == StatusCode::OK, "told {}", answer.status());
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        ear.hear(frame?.data_ref().context("no data")?);
        ear.beat().await;
    }
    Ok(())
}

/// A body that goes to the upstream, which compares what comes.
pub(super) async fn upload(
    visitor: Visitor,
    mouth: Mouth,
    (heard, origin): (Heard, Arc<Origin>),
    seed: u64,
) -> Result<()> {
    let mut connection = connect(&visitor, seed + 1).await?;
    let (parts, body) = Parts::channel();
    let request = connection.request(Method::POST, &format!("/upload?seed={seed}"), body)?;
    let looks = async {
        let mut last = 0;
        while let Ok(upload) = origin.upload("more has come", |upload| upload.bytes != last).await {
            let Upload { bytes, differs, .. } = upload;
            heard.came(bytes, differs.then(|| "the upload differs".to_owned()));
            last = bytes;
        }
    };
    let answer = async {
        let answer = connection.send(request).await?;
        ensure!(answer.status() == StatusCode::OK, "told {}", answer.status());
        Ok(())
    };
    listening(answer, async {
        tokio::join!(say(mouth, parts), looks);
        std::future::pending().await
    })
    .await
}

/// A body that the upstream hands out piece by piece.
pub(super) async fn events(
    visitor: Visitor,
    mouth: Mouth,
    (mut ear, origin): (Ear, Arc<Origin>),
    seed: u64,
) -> Result<()> {
    let mut connection = connect(&visitor, seed + 2).await?;
    let answer = connection.get("/sse").await?;
    ensure!(answer.status() == StatusCode::OK, "told {}", answer.status());
    let parts = origin.parts().await?;
    let mut body = answer.into_body();
    let heard = async {
        while let Some(frame) = body.frame().await {
            ear.hear(frame?.data_ref().context("no data")?);
        }
        Ok(())
    };
    listening(heard, async {
        // How the upstream's side ends is not the visitor's business.
        say(mouth, parts).await;
        std::future::pending().await
    })
    .await
}

/// Says everything, until nobody wants to hear more.
async fn say(mut mouth: Mouth, parts: Parts) {
    while let Some(piece) = mouth.next().await {
        if parts.send(piece).await.is_err() {
            return;
        }
    }
}

/// Whoever cannot speak any more has seen a cut, as well as whoever hears one.
async fn listening(
    heard: impl Future<Output = Result<()>>,
    talk: impl Future<Output = Result<Infallible>>,
) -> Result<()> {
    tokio::select! {
        heard = heard => heard,
        failed = talk => failed.map(drop).context("nothing more can be said"),
    }
}

pub(super) async fn websocket(visitor: Visitor, mouth: Mouth, ear: Ear) -> Result<()> {
    let mut connection = visitor.https().await?;
    let mut request = connection.request(Method::GET, "/websocket", empty())?;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-key", HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::SWITCHING_PROTOCOLS, "told {}", answer.status());
    messages(hyper::upgrade::on(answer).await?, mouth, ear).await
}

pub(super) async fn websocket_in_http2(visitor: Visitor, mouth: Mouth, ear: Ear) -> Result<()> {
    let mut connection = visitor.http2().await?;
    let answer = connection.extended_connect("/websocket", "websocket").await?;
    ensure!(answer.status() == StatusCode::OK, "told {}", answer.status());
    messages(hyper::upgrade::on(answer).await?, mouth, ear).await
}

/// Messages that come back, and at last a close frame that does. An end without one is a cut (RFC 6455 section 7.1.5).
async fn messages(upgraded: hyper::upgrade::Upgraded, mut mouth: Mouth, mut ear: Ear) -> Result<()> {
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    let (mut sink, mut messages) = socket.split();
    let heard = async {
        let mut is_closed = false;
        while let Some(message) = messages.next().await {
            match message? {
                Message::Binary(bytes) => ear.hear(&bytes),
                Message::Close(_) => is_closed = true,
                other => bail!("nobody says {other:?}"),
            }
        }
        ensure!(is_closed, "no close frame");
        Ok(())
    };
    listening(heard, async {
        while let Some(piece) = mouth.next().await {
            sink.send(Message::Binary(piece)).await?;
        }
        sink.close().await?;
        std::future::pending().await
    })
    .await
}

/// A call in which both sides talk. Its end in order is status 0.
pub(super) async fn call(visitor: Visitor, mut mouth: Mouth, mut ear: Ear) -> Result<()> {
    let mut connection = visitor.http2().await?;
    let (parts, body) = Parts::channel();
    let mut request = connection.request(Method::POST, "/test/Echo", body)?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::OK, "told {}", answer.status());
    let mut messages = Messages::of(answer.into_body());
    let heard = async {
        while let Some(message) = messages.next().await? {
            ear.hear(&message);
        }
        let status = messages.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        ensure!(status.is_some_and(|status| status == "0"), "status {status:?}");
        Ok(())
    };
    listening(heard, async {
        while let Some(piece) = mouth.next().await {
            if parts.send(message(&piece)).await.is_err() {
                break;
            }
        }
        drop(parts);
        std::future::pending().await
    })
    .await
}

/// A connection of a tcp endpoint.
pub(super) async fn pass(at: SocketAddr, mouth: Mouth, ear: Ear) -> Result<()> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    echoed(stream, mouth, ear).await
}

/// A connection of a tls endpoint. An end without a goodbye is a cut (RFC 8446 section 6.1).
pub(super) async fn seal(service: Service, at: SocketAddr, mouth: Mouth, ear: Ear) -> Result<()> {
    echoed(service.visit(at).await?, mouth, ear).await
}

/// Every byte comes back.
async fn echoed(stream: impl AsyncRead + AsyncWrite, mut mouth: Mouth, mut ear: Ear) -> Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let heard = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match reading.read(&mut buffer).await? {
                0 => return Ok(()),
                count => ear.hear(buffer.get(..count).unwrap_or_default()),
            }
        }
    };
    listening(heard, async {
        while let Some(piece) = mouth.next().await {
            writing.write_all(&piece).await?;
            writing.flush().await?;
        }
        writing.shutdown().await?;
        std::future::pending().await
    })
    .await
}
