//! Visitors: one request after another until everything is healed and answers come again.

use std::time::Duration;

use adit_process::tasks::{Task, Tasks};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};

use crate::bodies;
use crate::bounds::BOUNDS;
use crate::dice::Dice;
use crate::fuse::Fuse;
use crate::network;
use adit_testkit::ledger::{Ledger, Told};

/// Before that an endpoint need not have been bound once.
const BEGIN_AFTER: Duration = Duration::from_secs(2);

/// Whole answers in a row, after everything is healed, with which a visitor is content.
const CONTENT_AFTER: u32 = 5;

/// Bytes of the longest response.
const BODY_BYTES_MAX: u64 = 6_000;

/// A visitor of one endpoint.
pub(crate) struct Visitor {
    mark: char,
    dice: Dice,
    ledger: Ledger,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: Task<()>,
}

/// What a visitor asks for.
struct Wish {
    id: u64,
    safe: bool,
    bytes: u64,
    pause: u64,
}

impl Visitor {
    pub(crate) const fn new(mark: char, dice: Dice, ledger: Ledger) -> Self {
        Self { mark, dice, ledger, connection: None }
    }

    /// Asks until content, or until service should have been back for long.
    pub(crate) async fn visit(mut self) {
        sleep(BEGIN_AFTER).await;
        let mut whole = 0;
        while whole < CONTENT_AFTER {
            let elapsed = self.ledger.now();
            let healed = self.ledger.healed().filter(|healed| elapsed > *healed);
            if healed.is_some_and(|healed| elapsed > healed + BOUNDS.back_within + BOUNDS.told_within) {
                return;
            }
            let told = self.ask().await;
            whole = if healed.is_some() && told == Told::Complete { whole + 1 } else { 0 };
            sleep(self.dice.millis(50, 1_500)).await;
        }
    }

    async fn ask(&mut self) -> Told {
        let safe = !self.dice.one_in(3);
        let (bytes, pause) = (self.dice.below(BODY_BYTES_MAX), self.dice.pick([0, 0, 30, 400]));
        let wish = Wish { id: self.ledger.ask(self.mark, safe), safe, bytes, pause };
        let told = match timeout(BOUNDS.told_within, self.exchange(&wish)).await {
            Ok(Ok(told)) => told,
            Ok(Err(_cut)) => Told::Cut,
            Err(_elapsed) => Told::Wrong(format!("hung for {:?}", BOUNDS.told_within)),
        };
        self.ledger.tell(wish.id, told.clone());
        if told != Told::Complete || self.dice.one_in(4) {
            self.connection = None;
        }
        told
    }

    async fn exchange(&mut self, wish: &Wish) -> Result<Told> {
        let request = self.request(wish)?;
        if self.connection.as_ref().is_none_or(|connection| connection.sender.is_closed()) {
            self.connection = Some(Connection::open().await?);
        }
        let connection = self.connection.as_mut().context("a connection")?;
        connection.sender.ready().await?;
        let response = connection.sender.send_request(request).await?;
        self.judge(wish, response).await
    }

    fn request(&self, wish: &Wish) -> Result<Request<Full<Bytes>>> {
        let Wish { id, safe, bytes, pause } = wish;
        let (method, body) = if *safe {
            (Method::GET, Bytes::new())
        } else {
            (Method::POST, bodies::piece(self.mark, *id, 0, bodies::REQUEST_BYTES))
        };
        let host = format!("{}.tunnel.example", self.mark);
        let request = Request::builder().method(method).uri(format!("/{id}/{bytes}/{pause}"));
        Ok(request.header("host", host).body(Full::new(body))?)
    }

    async fn judge(&self, wish: &Wish, response: Response<Incoming>) -> Result<Told> {
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        let is_ours = head.headers.contains_key("adit-error");
        let mut read = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let wrong = data
                .iter()
                .enumerate()
                .find(|(at, byte)| **byte != bodies::byte(self.mark, wish.id, read + at));
            if let (Some((at, _)), 200) = (wrong, status) {
                return Ok(Told::Wrong(format!("byte {} is not its own", read + at)));
            }
            read += data.len();
        }
        Ok(match (status, is_ours) {
            (200, false) if read as u64 == wish.bytes => Told::Complete,
            (200, false) => Told::Wrong(format!("{read} of {} bytes looked whole", wish.bytes)),
            (404, true) => Told::Wrong("was told that the endpoint does not exist".to_owned()),
            (500.., true) => Told::Error(status),
            _ => Told::Wrong(format!("status {status}, which nobody should have said")),
        })
    }
}

impl Connection {
    async fn open() -> Result<Self> {
        let wire = timeout(Duration::from_secs(20), network::connect("node", 80, Fuse::default())).await??;
        let (sender, connection) = http1::handshake(TokioIo::new(wire)).await?;
        let driver = Tasks::new("visitor").spawn("http", async move { drop(connection.await) });
        ensure!(!sender.is_closed(), "it closed at once");
        Ok(Self { sender, _driver: driver })
    }
}
