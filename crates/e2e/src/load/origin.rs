//! An upstream that writes down what arrives, and can be told to misbehave.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use adit_process::tasks::{Task, Tasks};
use adit_testkit::ledger::Ledger;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{UPLOAD_BYTES, pace, seed};
use crate::body::{Body, Digest, Digesting, body_of, empty, patterned};
use crate::pattern::Pattern;
use crate::raw_origin::head_of;

/// Bytes in a piece of a body that comes slowly.
const PIECE_BYTES: u64 = 20_000;

/// How an upstream treats those who connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// As it should.
    Well,
    /// It reads a request and closes the connection.
    ClosesAtOnce,
    /// The same, with a reset.
    Resets,
    /// It closes the connection in the middle of a response's head.
    ClosesInTheHead,
    /// It closes the connection in the middle of a body whose length it has said.
    ClosesInTheBody,
    /// What it says is not HTTP.
    Babbles,
}

/// An upstream whose every byte says whose it is.
#[derive(Debug)]
pub struct LedgerOrigin {
    port: u16,
    mood: watch::Sender<Mood>,
    _accepting: Task<()>,
    _tasks: Tasks,
}

/// Whose requests it answers, and how.
#[derive(Clone)]
struct Manner {
    mark: char,
    ledger: Ledger,
    mood: watch::Receiver<Mood>,
}

impl LedgerOrigin {
    /// Starts to serve the endpoint of `mark`.
    pub async fn start(mark: char, ledger: Ledger) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, mark, ledger).await
    }

    /// The same, reached at another address.
    pub async fn start_at(address: Ipv4Addr, mark: char, ledger: Ledger) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await.context("no port for an origin")?;
        let port = listener.local_addr()?.port();
        let tasks = Tasks::new("ledger origin");
        let connections = tasks.clone();
        let (mood, moods) = watch::channel(Mood::Well);
        let manner = Manner { mark, ledger, mood: moods };
        let accepting = tasks.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(connections.spawn("connection", serve(stream, manner.clone())));
            }
        });
        Ok(Self { port, mood, _accepting: accepting, _tasks: tasks })
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.port.to_string()
    }

    /// Requests that come from now on are treated like this.
    pub fn set_mood(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

async fn serve(stream: TcpStream, manner: Manner) {
    let mood = *manner.mood.borrow();
    if mood != Mood::Well {
        // How far it came is nobody's business but the visitor's.
        return drop(misbehave(stream, &manner, mood).await);
    }
    let service = service_fn(|request: Request<Incoming>| {
        let manner = manner.clone();
        async move {
            let answer = answer(&manner, request).await;
            if *manner.mood.borrow() != Mood::Well {
                return Err(io::Error::other("in no mood to answer"));
            }
            Ok(answer.unwrap_or_else(|_| broken()))
        }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// Reads a request's head and does something else than to answer it.
async fn misbehave(mut stream: TcpStream, manner: &Manner, mood: Mood) -> Result<()> {
    let head = head_of(&mut stream).await?;
    let path = head.split(' ').nth(1).context("no path")?;
    let [id, ..] = numbers(path)?;
    manner.ledger.deliver(id, manner.mark);
    let said: &[u8] = match mood {
        Mood::Well | Mood::ClosesAtOnce => b"",
        Mood::Resets => return Ok(stream.set_zero_linger()?),
        Mood::ClosesInTheHead => b"HTTP/1.1 200 OK\r\ncontent-len",
        Mood::ClosesInTheBody => b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nnot all of it",
        Mood::Babbles => b"220 what do you want\r\n\r\n",
    };
    stream.write_all(said).await?;
    Ok(stream.shutdown().await?)
}

/// `/ID/BYTES/PAUSE`, before the query.
fn numbers(target: &str) -> Result<[u64; 3]> {
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    let mut numbers = path.split('/').skip(1).map(str::parse::<u64>);
    let mut number = || anyhow::Ok(numbers.next().context("a number is missing")??);
    Ok([number()?, number()?, number()?])
}

/// That many bytes, with a pause of so many milliseconds before each piece.
async fn answer(manner: &Manner, request: Request<Incoming>) -> Result<Response<Body>> {
    let [id, bytes, pause] = numbers(request.uri().path())?;
    let (pause, seed) = (Duration::from_millis(pause), seed(manner.mark, id));
    manner.ledger.deliver(id, manner.mark);
    let sent = if request.method() == Method::POST { UPLOAD_BYTES } else { 0 };
    let received = received(request.into_body()).await?;
    if received != Digest::of_pattern(seed, sent) {
        manner.ledger.mistook(id, format!("{} bytes that are not the {sent} sent", received.bytes));
    }
    let body = if pause.is_zero() { patterned(seed, bytes) } else { slow(seed, bytes, pause) };
    let mut response = Response::new(body);
    if id % 2 == 1 {
        response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    }
    Ok(response)
}

/// A body that ends in order, however long that takes.
async fn received(mut body: Incoming) -> Result<Digest> {
    let mut digesting = Digesting::default();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            digesting.update(data);
        }
    }
    Ok(digesting.finish())
}

fn broken() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// A piece at each beat of the pace.
fn slow(seed: u64, bytes: u64, pause: Duration) -> Body {
    let begun = (Pattern::new(seed), bytes, pace(pause));
    body_of(stream::unfold(begun, |(mut pattern, left, mut pace)| async move {
        let count = left.min(PIECE_BYTES);
        if count == 0 {
            return None;
        }
        pace.tick().await;
        let piece: Bytes = pattern.take(usize::try_from(count).unwrap_or_default());
        Some((Ok(Frame::data(piece)), (pattern, left - count, pace)))
    }))
}
