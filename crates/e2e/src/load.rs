//! Requests without a pause, and an origin for them, both of which write down what they see.

mod origin;

use std::time::Duration;

use adit_process::tasks::{Task, Tasks};
use adit_testkit::ledger::{Answer, Ledger, Told};
use anyhow::Result;
use http::Method;
use tokio::time::{Interval, MissedTickBehavior};

use crate::body::{Digest, digest, empty, patterned};
use crate::limits::EVENT_WITHIN;
use crate::pattern::Pattern;
use crate::visitor::{Connection, Visitor};
use crate::wait::within;

pub use origin::{LedgerOrigin, Mood};

/// Bytes of the longest body. Long enough that faults hit it on its way.
const BODY_BYTES_MAX: u64 = 400_000;

/// Bytes of the body of a request that has one. They are kept until an upstream is there.
const UPLOAD_BYTES: u64 = 50_000;

/// Stands in the query of each request: it is nobody's business but the visitor's and the upstream's.
pub const QUERY_SECRET: &str = "a-canary-in-the-query";

/// The number of the visitor who asks for little, and not all the time: how long that takes says how fast the endpoint is.
const SMALL: u64 = 3;
const SMALL_EVERY: Duration = Duration::from_millis(20);

/// What that visitor gets at most.
pub const SMALL_BYTES_MAX: u64 = 1_000;

/// A visitor who was refused asks so often again.
const REFUSED_EVERY: Duration = Duration::from_millis(50);

/// Whole answers in a row, after everything is healed, with which a visitor is content.
const CONTENT_AFTER: u32 = 8;

/// At which a load goes.
fn pace(every: Duration) -> Interval {
    let mut pace = tokio::time::interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
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
        Self { visitors: (0..=SMALL).map(one).collect() }
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
        // Not a flood of refusals while nothing is there.
        let mut refused = pace(REFUSED_EVERY);
        let mut small = pace(SMALL_EVERY);
        while whole < CONTENT_AFTER {
            let healed = self.ledger.healed().is_some();
            if self.number == SMALL {
                small.tick().await;
            }
            let told = self.ask(&mut connection).await;
            whole = if healed && told == Told::Complete { whole + 1 } else { 0 };
            if told != Told::Complete {
                connection = None;
                refused.tick().await;
            }
        }
    }

    async fn ask(&mut self, connection: &mut Option<Connection>) -> Told {
        let safe = self.dice.below(3) > 0;
        let (bytes, pause) = (self.dice.below(BODY_BYTES_MAX), self.dice.below(4) * 5);
        let is_small = self.number == SMALL;
        let (safe, bytes, pause) =
            if is_small { (true, bytes % SMALL_BYTES_MAX, 0) } else { (safe, bytes, pause) };
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
        let in_bytes = if safe { 0 } else { UPLOAD_BYTES };
        let (method, body) = if safe {
            (Method::GET, empty())
        } else {
            (Method::POST, patterned(seed(self.mark, id), in_bytes))
        };
        let path = format!("/{id}/{bytes}/{pause}?token={QUERY_SECRET}");
        let request = connection.request(method, &path, body)?;
        let answer = connection.send(request).await?;
        let (status, is_ours) = (answer.status().as_u16(), answer.headers().contains_key("adit-error"));
        let request = answer.headers().get("adit-request-id").and_then(|id| id.to_str().ok());
        let request = request.unwrap_or_default().to_owned();
        let (got, _) = digest(answer.into_body()).await?;
        self.ledger.answered(id, Answer { request, status, in_bytes, out_bytes: got.bytes });
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
