//! An upstream that writes down what arrives and answers what it is asked for.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Sleep, sleep};

use adit_net::listen::Listen as _;

use crate::bodies;
use crate::fuse::Fuse;
use crate::network::Port;
use crate::planted::Planted;
use adit_testkit::ledger::Ledger;

/// Bytes in one piece of a body.
const PIECE_BYTES: usize = 700;

/// Serves on port 80 for as long as the host lives.
pub(crate) async fn serve(mark: char, ledger: Ledger, planted: Planted) -> Result<()> {
    let port = Port::open(80, Fuse::default()).await?;
    let tasks = Tasks::new("origin");
    loop {
        let (wire, _) = port.accept().await?;
        let ledger = ledger.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let ledger = ledger.clone();
            let answer = answer(mark, &ledger, &request, planted);
            async move {
                let answer = answer.unwrap_or_else(|error| refuse(&error));
                if answer.status().is_success() {
                    read(mark, &ledger, request).await;
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(wire), service);
        drop(tasks.spawn("connection", async move { drop(connection.await) }));
    }
}

/// A request is read to its end before it is answered. One that ends in order is the whole.
async fn read(mark: char, ledger: &Ledger, request: Request<Incoming>) {
    let id = request.uri().path().split('/').nth(1).and_then(|id| id.parse().ok());
    let bytes = if request.method() == Method::POST { bodies::REQUEST_BYTES } else { 0 };
    let (Some(id), Ok(body)) = (id, request.into_body().collect().await) else { return };
    let body = body.to_bytes();
    if body != bodies::piece(mark, id, 0, bytes) {
        ledger.mistook(id, format!("{} bytes that are not the {bytes} sent", body.len()));
    }
}

/// `/ID/BYTES/PAUSE`: that many bytes, with a pause of so many milliseconds before each piece.
fn answer(
    mark: char,
    ledger: &Ledger,
    request: &Request<Incoming>,
    planted: Planted,
) -> Result<Response<Slow>> {
    let mut numbers = request.uri().path().split('/').skip(1).map(str::parse::<u64>);
    let mut number = || anyhow::Ok(numbers.next().context("a number is missing")??);
    let (id, bytes, pause) = (number()?, usize::try_from(number()?)?, Duration::from_millis(number()?));
    ledger.deliver(id, mark);
    let chunked = id % 2 == 0;
    let bytes = if planted == Planted::ShortBodies && id % 50 == 0 { bytes / 2 } else { bytes };
    Ok(Response::new(Slow { mark, id, at: 0, bytes, pause, chunked, resting: None }))
}

fn refuse(_: &anyhow::Error) -> Response<Slow> {
    let body =
        Slow { mark: 'a', id: 0, at: 0, bytes: 0, pause: Duration::ZERO, chunked: false, resting: None };
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::BAD_REQUEST;
    response
}

/// A body that comes piece by piece, with a length or in chunks.
struct Slow {
    mark: char,
    id: u64,
    at: usize,
    bytes: usize,
    pause: Duration,
    chunked: bool,
    resting: Option<Pin<Box<Sleep>>>,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.at >= self.bytes {
            return Poll::Ready(None);
        }
        let pause = self.pause;
        ready!(self.resting.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
        self.resting = None;
        let count = PIECE_BYTES.min(self.bytes - self.at);
        let piece = bodies::piece(self.mark, self.id, self.at, count);
        self.at += count;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked { SizeHint::default() } else { SizeHint::with_exact((self.bytes - self.at) as u64) }
    }
}
