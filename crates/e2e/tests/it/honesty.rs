//! A transfer that broke is never shown as one that ended.

mod killed;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{Connection, Parts, RawOrigin, Scene, Visitor, digest, head_of, within};
use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;

const STEP: Duration = Duration::from_secs(20);
const SENT_BYTES: usize = 100_000;

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// How an answer is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
    UntilClose,
}

/// How the upstream goes away: a process that is killed closes its connections, or resets them when bytes that it has
/// not read are waiting.
#[derive(Clone, Copy, Debug)]
enum Death {
    Closed,
    Reset,
}

const CUTS: [(Framing, Death); 5] = [
    (Framing::Length, Death::Closed),
    (Framing::Length, Death::Reset),
    (Framing::Chunked, Death::Closed),
    (Framing::Chunked, Death::Reset),
    // Closing is how such an answer ends, so only the reset is a cut.
    (Framing::UntilClose, Death::Reset),
];

/// Sends a part of an answer to each request, and goes away for each permit of `deaths`.
async fn dying(framing: Framing, death: Death, deaths: Arc<Semaphore>) -> Result<RawOrigin> {
    RawOrigin::start(move |mut stream| {
        let deaths = Arc::clone(&deaths);
        async move {
            head_of(&mut stream).await?;
            let (field, before) = match framing {
                Framing::Length => ("Content-Length: 1000000\r\n", String::new()),
                Framing::Chunked => ("Transfer-Encoding: chunked\r\n", format!("{SENT_BYTES:x}\r\n")),
                Framing::UntilClose => ("Connection: close\r\n", String::new()),
            };
            let after = if matches!(framing, Framing::Chunked) { "\r\n" } else { "" };
            let body = "b".repeat(SENT_BYTES);
            let answer = format!("HTTP/1.1 200 OK\r\n{field}\r\n{before}{body}{after}");
            stream.write_all(answer.as_bytes()).await?;
            deaths.acquire().await?.forget();
            match death {
                Death::Closed => Ok(stream.shutdown().await?),
                Death::Reset => Ok(stream.set_zero_linger()?),
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_middle_breaks_the_transfer() -> Result<()> {
    for (framing, death) in CUTS {
        let deaths = Arc::new(Semaphore::new(0));
        let origin = dying(framing, death, Arc::clone(&deaths)).await?;
        let scene = Scene::start_with(&origin.port()).await?;
        for mut connection in scene.visitor.each().await? {
            let mut body = connection.get("/").await?.into_body();
            for _ in read(&mut body, SENT_BYTES).await? {}
            deaths.add_permits(1);
            let rest = digest(body).await;
            assert!(rest.is_err(), "{framing:?} {death:?} to {:?}: {rest:?}", connection.version());
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_http_1_0_visitor_can_tell_as_well() -> Result<()> {
    for (framing, death) in CUTS {
        let deaths = Arc::new(Semaphore::new(0));
        let origin = dying(framing, death, Arc::clone(&deaths)).await?;
        let scene = Scene::start_with(&origin.port()).await?;
        let ends = [old_http(&scene.visitor, &deaths).await?, old_https(&scene.visitor, &deaths).await?];
        assert!(ends.iter().all(|broken| *broken), "{framing:?} {death:?}: broken {ends:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_ends_by_closing_is_whole() -> Result<()> {
    let origin = dying(Framing::UntilClose, Death::Closed, Arc::new(Semaphore::new(100))).await?;
    let scene = Scene::start_with(&origin.port()).await?;
    for mut connection in scene.visitor.each().await? {
        let answer = connection.get("/").await?;
        assert_eq!(digest(answer.into_body()).await?.0.bytes, SENT_BYTES as u64);
    }
    Ok(())
}

/// An answer to HTTP/1.0 ends with its connection, and many who read one do not look at how TLS ended: only a reset tells.
#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_cut_by_a_reset() -> Result<()> {
    for (framing, death) in CUTS {
        let deaths = Arc::new(Semaphore::new(0));
        let origin = dying(framing, death, Arc::clone(&deaths)).await?;
        let scene = Scene::start_with(&origin.port()).await?;
        let plain: Box<dyn Io> = Box::new(scene.visitor.tcp().await?);
        let tls: Box<dyn Io> = Box::new(scene.visitor.tls(&["http/1.1"]).await?);
        let authorities = [scene.visitor.http_authority(), scene.visitor.https_authority()];
        for (mut io, authority) in [plain, tls].into_iter().zip(authorities) {
            io.write_all(format!("GET / HTTP/1.0\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
            let head = head_of(&mut io).await?;
            assert!(head.contains(" 200 ") && !head.contains("transfer-encoding"), "{head}");
            within("the start", STEP, io.read_exact(&mut vec![0; SENT_BYTES / 2])).await??;
            deaths.add_permits(1);
            let ended = within("the end", STEP, io.read_to_end(&mut Vec::new())).await?;
            let kind = ended.map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::ConnectionReset), "{framing:?} {death:?}, {authority}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_the_visitor_cuts_is_broken_at_the_upstream() -> Result<()> {
    let scene = Scene::start().await?;
    for (index, mut connection) in (1..).zip(scene.visitor.each().await?) {
        let (parts, body) = Parts::channel();
        let cut = async {
            parts.send(vec![b'x'; SENT_BYTES]).await?;
            arrived(&scene, index).await?;
            parts.cut().await
        };
        let (answer, cut) = tokio::join!(connection.upload("/upload", body), cut);
        cut?;
        assert!(answer.is_err(), "{answer:?}");
        assert_broken(&scene, index).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_just_ends_is_broken_at_the_upstream() -> Result<()> {
    let scene = Scene::start().await?;
    let host = scene.visitor.http_authority();
    let chunk = format!("{SENT_BYTES:x}\r\n{}\r\n", "x".repeat(SENT_BYTES));
    let uploads =
        [("Transfer-Encoding: chunked", chunk), ("Content-Length: 1000000", "x".repeat(SENT_BYTES))];
    for (index, (framing, body)) in (1..).zip(uploads) {
        let mut stream = scene.visitor.tcp().await?;
        let head = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n{body}");
        stream.write_all(head.as_bytes()).await?;
        arrived(&scene, index).await?;
        stream.shutdown().await?;
        assert_broken(&scene, index).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_dies_in_the_middle_breaks_the_transfer() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connections = scene.visitor.each().await?;
    let bodies = started(&scene, &mut connections).await?;
    scene.agent.program().kill().await?;
    for body in bodies {
        let rest = digest(body).await;
        assert!(rest.is_err(), "{rest:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_breaks_the_transfer() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connections = scene.visitor.each().await?;
    let bodies = started(&scene, &mut connections).await?;
    scene.stack.program().kill().await?;
    for body in bodies {
        let rest = digest(body).await;
        assert!(rest.is_err(), "{rest:?}");
    }
    Ok(())
}

/// An answer on each connection, of which a part has arrived and the end is missing.
async fn started(scene: &Scene, connections: &mut [Connection]) -> Result<Vec<hyper::body::Incoming>> {
    let mut bodies = Vec::new();
    for connection in connections {
        let mut body = connection.get("/parts").await?.into_body();
        let parts = scene.origin.parts().await?;
        parts.send("a part").await?;
        read(&mut body, 6).await?;
        // The origin's end of the body stays open: it lives as long as the test.
        std::mem::forget(parts);
        bodies.push(body);
    }
    Ok(bodies)
}

async fn arrived(scene: &Scene, index: u64) -> Result<()> {
    let there = |upload: &adit_e2e::Upload| upload.before == index && upload.bytes == SENT_BYTES as u64;
    scene.origin.upload("the part that was sent", there).await?;
    Ok(())
}

async fn assert_broken(scene: &Scene, index: u64) -> Result<()> {
    let ended = |upload: &adit_e2e::Upload| upload.before == index && upload.complete.is_some();
    let upload = scene.origin.upload("the end of the upload", ended).await?;
    assert_eq!(upload.complete, Some(false));
    Ok(())
}

async fn read(body: &mut hyper::body::Incoming, bytes: usize) -> Result<Vec<usize>> {
    let mut pieces = Vec::new();
    while pieces.iter().sum::<usize>() < bytes {
        let frame = within("the body goes on", STEP, body.frame()).await?.context("the body ended")??;
        pieces.push(frame.data_ref().map_or(0, bytes::Bytes::len));
    }
    Ok(pieces)
}

/// Whether an HTTP/1.0 visitor in the clear gets an error in place of an end.
async fn old_http(visitor: &Visitor, deaths: &Semaphore) -> Result<bool> {
    let mut stream = visitor.tcp().await?;
    stream.write_all(old_request(&visitor.http_authority()).as_bytes()).await?;
    broken(stream, deaths).await
}

/// The same over TLS, which has an end of its own.
async fn old_https(visitor: &Visitor, deaths: &Semaphore) -> Result<bool> {
    let mut stream = visitor.tls(&["http/1.1"]).await?;
    stream.write_all(old_request(&visitor.https_authority()).as_bytes()).await?;
    broken(stream, deaths).await
}

fn old_request(authority: &str) -> String {
    format!("GET / HTTP/1.0\r\nHost: {authority}\r\n\r\n")
}

async fn broken<S: tokio::io::AsyncRead + Unpin>(mut stream: S, deaths: &Semaphore) -> Result<bool> {
    let head = head_of(&mut stream).await?;
    let mut body = vec![0; SENT_BYTES];
    within("the part that was sent", STEP, stream.read_exact(&mut body)).await??;
    deaths.add_permits(1);
    let end = within("an end", STEP, stream.read_to_end(&mut body)).await?;
    // With a length, the visitor sees what is missing.
    let short = head.to_lowercase().contains("content-length: 1000000") && body.len() < 1_000_000;
    Ok(end.is_err() || short)
}
