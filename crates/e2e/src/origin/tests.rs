//! The origin met without Adit in between: what these hold, the tests of Adit may rely on.

#![expect(clippy::panic_in_result_fn, reason = "a test fails by a panic")]

use anyhow::Result;
use http::header::{CONNECTION, CONTENT_LENGTH, TE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Origin;
use crate::body::{Digest, Parts, digest, empty, patterned};
use crate::visitor::Connection;

async fn connect(origin: &Origin) -> Result<Connection> {
    let stream = TcpStream::connect(origin.address()).await?;
    Connection::http1(stream, "http", origin.address().to_string()).await
}

#[tokio::test]
async fn bodies_are_what_their_digest_says() -> Result<()> {
    let origin = Origin::start().await?;
    let mut connection = connect(&origin).await?;
    for path in ["/bytes", "/chunked"] {
        assert_eq!(
            connection.download(&format!("{path}/100000?seed=3")).await?,
            Digest::of_pattern(3, 100_000)
        );
    }
    let answer = connection.upload("/upload?seed=4", patterned(4, 70_000)).await?;
    assert!(!origin.upload("an upload", |upload| upload.complete.is_some()).await?.differs);
    assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(4, 70_000));
    assert_eq!((origin.connections(), origin.requests()), (1, 3));
    Ok(())
}

#[tokio::test]
async fn heads_and_trailers() -> Result<()> {
    let origin = Origin::start().await?;
    let mut connection = connect(&origin).await?;
    let head = connection.send(connection.request(Method::HEAD, "/bytes/77", empty())?).await?;
    assert_eq!(head.headers()[CONTENT_LENGTH], "77");
    for status in [204, 304, 404] {
        let answer = connection.get(&format!("/status/{status}")).await?;
        assert_eq!(answer.status(), StatusCode::from_u16(status)?);
        digest(answer.into_body()).await?;
    }
    let mut request = connection.request(Method::GET, "/trailers", empty())?;
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let (_, trailers) = digest(connection.send(request).await?.into_body()).await?;
    assert_eq!(trailers.unwrap_or_default()["x-sum"], "42");
    let echoed = connection.get_json("/echo-headers?a=b", HeaderMap::new()).await?;
    assert_eq!(echoed["target"], "/echo-headers?a=b");
    Ok(())
}

#[tokio::test]
async fn parts_and_broken_uploads_are_told() -> Result<()> {
    let origin = Origin::start().await?;
    let mut connection = connect(&origin).await?;
    let mut answer = connection.get("/sse").await?.into_body();
    let parts = origin.parts().await?;
    parts.send("one").await?;
    let frame = http_body_util::BodyExt::frame(&mut answer).await.transpose()?;
    assert_eq!(frame.and_then(|frame| frame.into_data().ok()).as_deref(), Some(b"one".as_slice()));
    parts.cut().await?;
    assert!(digest(answer).await.is_err());
    let mut connection = connect(&origin).await?;
    let (parts, body) = Parts::channel();
    let cut = async {
        parts.send(vec![0; 5000]).await?;
        origin.upload("5,000 bytes", |upload| upload.bytes == 5000).await?;
        parts.cut().await
    };
    let (answer, cut) = tokio::join!(connection.upload("/upload?seed=4", body), cut);
    cut?;
    assert!(answer.is_err());
    let upload = origin.upload("a broken upload", |upload| upload.complete.is_some()).await?;
    assert_eq!((upload.bytes, upload.complete, upload.differs), (5000, Some(false), true));
    Ok(())
}

#[tokio::test]
async fn an_upgraded_connection_echoes() -> Result<()> {
    let origin = Origin::start().await?;
    let mut connection = connect(&origin).await?;
    let mut request = connection.request(Method::GET, "/upgrade", empty())?;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("knock"));
    let answer = connection.send(request).await?;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await?);
    stream.write_all(b"who is there").await?;
    stream.shutdown().await?;
    let mut back = String::new();
    stream.read_to_string(&mut back).await?;
    assert_eq!(back, "who is there");
    Ok(())
}
