#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod deadlines;
mod drain;
mod floods;
mod frames;
mod framing;
mod half_close;
mod heads;
mod http2;
mod http2_ends;
mod http2_heads;
mod http2_upgrades;
mod interim;
mod own;
mod pieces;
mod rests;
mod slow_readers;
mod upgrades;
mod windows;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::{ServeError, http1};
use crate::body::{self, Body};
use crate::limits::{self, ServeLimits};
use crate::service::{HttpService, boxed};

const HEAD: Duration = limits::HEAD_DEADLINE;
const IDLE: Duration = limits::IDLE;

/// The visitor's end of a served connection.
struct Visitor {
    io: DuplexStream,
    drain: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Visitor {
    fn of_http1(service: HttpService) -> Self {
        Self::limited(service, ServeLimits::default())
    }

    fn limited(service: HttpService, limits: ServeLimits) -> Self {
        let (io, theirs) = duplex(256 * 1024);
        let (drain, draining) = signal();
        let served = tokio::spawn(http1(theirs, service, limits, draining));
        Self { io, drain: Some(drain), served }
    }

    async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until what was read ends with `end`.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = self.io.read_u8().await.unwrap_or_else(|error| panic!("{error} after {text:?}"));
            text.push(char::from(byte));
        }
        text
    }

    /// Reads until the connection is closed.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.io.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Sends a whole request and returns everything up to the close.
    async fn once(mut self, request: &str) -> String {
        self.send(request).await;
        self.rest().await
    }
}

/// A signal for draining: completes when told to, never when forgotten.
fn signal() -> (oneshot::Sender<()>, impl Future<Output = ()> + Send + 'static) {
    let (drain, draining) = oneshot::channel();
    let draining = async move {
        if draining.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    (drain, draining)
}

/// Answers `METHOD TARGET BODY` with the request's own.
fn echo() -> HttpService {
    boxed(service_fn(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_or_else(|_| "cut".into(), http_body_util::Collected::to_bytes);
        let text = format!("{} {} {}|", parts.method, parts.uri, String::from_utf8_lossy(&body));
        Ok::<_, Infallible>(Response::new(body::full(text)))
    }))
}

/// Answers every request with what `make` makes, without looking at it.
fn fixed(make: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> HttpService {
    boxed(service_fn(move |_| {
        let response = make();
        async move { Ok::<_, Infallible>(response) }
    }))
}

fn close_to(elapsed: Duration, wanted: Duration) -> bool {
    elapsed >= wanted && elapsed < wanted + Duration::from_millis(50)
}
