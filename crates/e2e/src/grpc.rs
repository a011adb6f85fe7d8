//! A peer that speaks gRPC as its specification says, written by hand: messages in frames of five bytes and more, the
//! status in trailers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::ledger::Ledger;
use crate::limits::STEP_WITHIN;
use crate::wait::within;

/// The version of HTTP that an upstream speaks, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What happened to the calls so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Calls {
    /// Calls that began.
    pub begun: u64,
    /// Calls whose request broke off.
    pub cancelled: u64,
}

/// A gRPC service on a port of its own. Ends with the test's runtime.
///
/// | path | what it does |
/// | --- | --- |
/// | `/test/Echo` | sends each message back as it comes; then status 0 and the trailer `saw-te` |
/// | `/test/Fail` | a response of nothing but trailers, status 5 |
/// | `/test/Break` | sends the first message back; after the second it breaks the call off |
#[derive(Debug)]
pub struct GrpcOrigin {
    address: SocketAddr,
    calls: watch::Sender<Calls>,
}

/// What a service writes down.
#[derive(Debug)]
struct Seen {
    calls: watch::Sender<Calls>,
    ledger: Ledger,
}

impl GrpcOrigin {
    /// Starts to serve, with TLS if there is an acceptor.
    pub async fn start(speaks: Speaks, tls: Option<TlsAcceptor>) -> Result<Self> {
        Self::start_counting(speaks, tls, Ledger::default()).await
    }

    /// The same, and what comes and goes is written down there.
    pub async fn start_counting(speaks: Speaks, tls: Option<TlsAcceptor>, ledger: Ledger) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for an origin")?;
        let address = listener.local_addr()?;
        let (calls, tasks) = (watch::Sender::new(Calls::default()), Tasks::new("grpc origin"));
        let seen = Arc::new(Seen { calls: calls.clone(), ledger });
        let connections = tasks.clone();
        tasks.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                connections.spawn("connection", async move {
                    match tls {
                        None => serve(stream, speaks, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, speaks, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(Self { address, calls })
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// Waits until the calls are as wanted.
    pub async fn calls(&self, what: &str, mut wanted: impl FnMut(&Calls) -> bool) -> Result<Calls> {
        let mut calls = self.calls.subscribe();
        Ok(*within(what, STEP_WITHIN, calls.wait_for(|calls| wanted(calls))).await??)
    }
}

async fn serve<S>(stream: S, speaks: Speaks, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let seen = Arc::clone(&seen);
        async move { answer(request, &seen) }
    });
    let io = TokioIo::new(stream);
    match speaks {
        Speaks::Http1 => drop(http1::Builder::new().serve_connection(io, service).await),
        Speaks::Http2 => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await),
    }
}

fn answer(request: Request<Incoming>, seen: &Arc<Seen>) -> Result<Response<Reply>> {
    seen.calls.send_modify(|calls| calls.begun += 1);
    seen.ledger.request();
    let saw_te = request.headers().get("te").cloned().unwrap_or(HeaderValue::from_static("none"));
    let mut response = Response::builder().header("content-type", "application/grpc");
    let body = match request.uri().path() {
        "/test/Echo" => {
            response = response.header("trailer", "grpc-status, saw-te");
            echo(request.into_body(), saw_te, Arc::clone(seen), u32::MAX)
        }
        "/test/Fail" => {
            response = response.header("grpc-status", "5").header("grpc-message", "no such thing");
            stream::empty().boxed()
        }
        _ => echo(request.into_body(), saw_te, Arc::clone(seen), 1),
    };
    Ok(response.body(StreamBody::new(body).boxed_unsync())?)
}

type Reply = UnsyncBoxBody<Bytes, io::Error>;

type Frames = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// Breaks off when `left` pieces have gone back and one more comes.
fn echo(body: Incoming, saw_te: HeaderValue, seen: Arc<Seen>, left: u32) -> Frames {
    let call = Call { body, saw_te, seen, left, is_over: false };
    stream::unfold(call, |mut call| async move {
        let frame = call.next().await?;
        Some((frame, call))
    })
    .boxed()
}

/// One call. Dropped before it is over, it was cancelled: whoever breaks off is not always heard to.
struct Call {
    body: Incoming,
    saw_te: HeaderValue,
    seen: Arc<Seen>,
    left: u32,
    is_over: bool,
}

impl Call {
    async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        while !self.is_over {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.seen.ledger.incoming_frame(&frame);
                    let Ok(data) = frame.into_data() else { continue };
                    let Some(left) = self.left.checked_sub(1) else {
                        self.is_over = true;
                        return Some(Err(io::Error::other("broken")));
                    };
                    self.left = left;
                    self.seen.ledger.outgoing(data.len());
                    return Some(Ok(Frame::data(data)));
                }
                Some(Err(error)) => return Some(Err(io::Error::other(error))),
                None => {
                    self.is_over = true;
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    trailers.insert("saw-te", self.saw_te.clone());
                    return Some(Ok(Frame::trailers(trailers)));
                }
            }
        }
        None
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_over {
            self.seen.calls.send_modify(|calls| calls.cancelled += 1);
        }
    }
}

/// A message in its frame, not compressed.
#[must_use]
pub fn message(text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + text.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    frame.put_slice(text);
    frame.freeze()
}

/// The messages of a response, one after the other, and then its trailers.
#[derive(Debug)]
pub struct Messages {
    body: Incoming,
    buffer: BytesMut,
    /// The trailers, once they have come.
    pub trailers: Option<HeaderMap>,
}

impl Messages {
    /// Those of a response's body.
    #[must_use]
    pub fn of(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), trailers: None }
    }

    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        within("a message", STEP_WITHIN, self.read()).await?
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let [0, a, b, c, d, ..] = self.buffer[..] {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if self.buffer.len() >= 5 + length {
                    self.buffer.advance(5);
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
            }
            let Some(frame) = self.body.frame().await else {
                ensure!(self.buffer.is_empty(), "half a message");
                return Ok(None);
            };
            match frame?.into_data() {
                Ok(data) => self.buffer.put(data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }
}
