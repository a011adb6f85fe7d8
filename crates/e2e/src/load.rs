//! Requests without a pause, and an origin for them, both of which write down what they see.

use std::convert::Infallible;
use std::time::Duration;

use adit_process::tasks::{Task, Tasks};
use adit_testkit::ledger::{Ledger, Told};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::body::{Body, Digest, body_of, digest, empty, patterned};
use crate::limits::EVENT_WITHIN;
use crate::pattern::Pattern;
use crate::visitor::{Connection, Visitor};
use crate::wait::within;

/// Bytes of the longest body. Long enough that faults hit it on its way.
const BODY_BYTES_MAX: u64 = 400_000;

/// Bytes in a piece of a body that comes slowly.
const PIECE_BYTES: u64 = 20_000;

/// Whole answers in a row, after everything is healed, with which a visitor is content.
const CONTENT_AFTER: u32 = 8;

/// An upstream whose every byte says whose it is.
#[derive(Debug)]
pub struct LedgerOrigin {
    port: u16,
    _accepting: Task<()>,
    _tasks: Tasks,
}

impl LedgerOrigin {
    /// Starts to serve the endpoint of `mark`.
    pub async fn start(mark: char, ledger: Ledger) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for an origin")?;
        let port = listener.local_addr()?.port();
        let tasks = Tasks::new("ledger origin");
        let connections = tasks.clone();
        let accepting = tasks.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(connections.spawn("connection", serve(stream, mark, ledger.clone())));
            }
        });
        Ok(Self { port, _accepting: accepting, _tasks: tasks })
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.port.to_string()
    }
}

async fn serve(stream: TcpStream, mark: char, ledger: Ledger) {
    let service = service_fn(|request: Request<Incoming>| {
        let ledger = ledger.clone();
        async move {
            let answer = answer(mark, &ledger, request).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| broken()))
        }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// `/ID/BYTES/PAUSE`: that many bytes, with a pause of so many milliseconds before each piece.
async fn answer(mark: char, ledger: &Ledger, request: Request<Incoming>) -> Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let mut numbers = path.split('/').skip(1).map(str::parse::<u64>);
    let mut number = || anyhow::Ok(numbers.next().context("a number is missing")??);
    let (id, bytes, pause) = (number()?, number()?, Duration::from_millis(number()?));
    ledger.deliver(id, mark);
    request.into_body().collect().await?;
    let body =
        if pause.is_zero() { patterned(seed(mark, id), bytes) } else { slow(seed(mark, id), bytes, pause) };
    let mut response = Response::new(body);
    if id % 2 == 1 {
        response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    }
    Ok(response)
}

fn broken() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = http::StatusCode::BAD_REQUEST;
    response
}

fn slow(seed: u64, bytes: u64, pause: Duration) -> Body {
    body_of(stream::unfold((Pattern::new(seed), bytes), move |(mut pattern, left)| async move {
        let count = left.min(PIECE_BYTES);
        if count == 0 {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece: Bytes = pattern.take(usize::try_from(count).unwrap_or_default());
        Some((Ok(Frame::data(piece)), (pattern, left - count)))
    }))
}

/// No two tenants have a body in common.
fn seed(mark: char, id: u64) -> u64 {
    id * 256 + u64::from(u32::from(mark))
}

/// Visitors of one endpoint who ask without a pause.
#[derive(Debug)]
pub struct Load {
    visitors: Vec<Task<()>>,
}

impl Load {
    /// Starts some visitors of each kind of connection for the endpoint of `mark`.
    #[must_use]
    pub fn start(mark: char, visitor: &Visitor, ledger: &Ledger) -> Self {
        let tasks = Tasks::new("load");
        let one = |number: u64| {
            let asking = Asking {
                mark,
                number,
                visitor: visitor.clone(),
                ledger: ledger.clone(),
                dice: Pattern::new(number),
            };
            tasks.spawn("visitor", asking.until_content())
        };
        Self { visitors: (0..3).map(one).collect() }
    }

    /// Waits until every visitor has seen enough whole answers after the ledger was healed, at most `deadline`.
    pub async fn content(self, deadline: Duration) -> Result<()> {
        within("every visitor is content", deadline, futures::future::join_all(self.visitors)).await?;
        Ok(())
    }
}

struct Asking {
    mark: char,
    number: u64,
    visitor: Visitor,
    ledger: Ledger,
    dice: Pattern,
}

impl Asking {
    async fn until_content(mut self) {
        let (mut connection, mut whole) = (None, 0);
        while whole < CONTENT_AFTER {
            let healed = self.ledger.healed().is_some();
            let told = self.ask(&mut connection).await;
            whole = if healed && told == Told::Complete { whole + 1 } else { 0 };
            if told != Told::Complete {
                connection = None;
                // Not a flood of refusals while nothing is there.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn ask(&mut self, connection: &mut Option<Connection>) -> Told {
        let safe = self.dice.below(3) > 0;
        let (bytes, pause) = (self.dice.below(BODY_BYTES_MAX), self.dice.below(4) * 5);
        let id = self.ledger.ask(self.mark, safe);
        let told = match self.exchange(connection, (id, safe, bytes, pause)).await {
            Ok(told) => told,
            Err(error) => match format!("{error:#}") {
                hung if hung.contains("not within") => Told::Wrong(hung),
                _ => Told::Cut,
            },
        };
        self.ledger.tell(id, told.clone());
        told
    }

    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        (id, safe, bytes, pause): (u64, bool, u64, u64),
    ) -> Result<Told> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connect().await?),
        };
        let (method, body) =
            if safe { (Method::GET, empty()) } else { (Method::POST, patterned(id, 50_000)) };
        let request = connection.request(method, &format!("/{id}/{bytes}/{pause}"), body)?;
        let answer = connection.send(request).await?;
        let (status, is_ours) = (answer.status().as_u16(), answer.headers().contains_key("adit-error"));
        let (got, _) = digest(answer.into_body()).await?;
        Ok(match (status, is_ours) {
            (200, false) if got == Digest::of_pattern(seed(self.mark, id), bytes) => Told::Complete,
            (200, false) => Told::Wrong(format!("{} bytes that are not the {bytes} sent", got.bytes)),
            (502..=504, true) => Told::Error(status),
            _ => Told::Wrong(format!("status {status}, which nobody should have said")),
        })
    }

    async fn connect(&self) -> Result<Connection> {
        let connecting = async {
            match self.number % 3 {
                0 => self.visitor.http().await,
                1 => self.visitor.https().await,
                _ => self.visitor.http2().await,
            }
        };
        within("a visitor's connection", EVENT_WITHIN, Box::pin(connecting)).await?
    }
}
