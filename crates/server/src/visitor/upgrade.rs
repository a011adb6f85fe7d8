//! WebSocket and every other protocol that a request switches to (RFC 9110, section 7.8).

use std::sync::Arc;
use std::time::Duration;

use adit_mux::{PumpEnd, PumpLimits, Traffic};
use adit_web::client;
use adit_web::limits::WRITE_STALL;
use adit_web::upgrade::{Carried, Patient, Tie};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::access::By;
use crate::limits::HANDSHAKE_DEADLINE;
use crate::metering::{Count, CountedIo};
use crate::node::Node;
use crate::share::RequestPlace;
use crate::trace::Traced;

use super::VisitorConnection;

#[derive(Debug, Error)]
enum UpgradeFailure {
    #[error("the connection did not switch protocols in time")]
    Deadline,
    #[error("the connection could not switch protocols")]
    Http(#[from] hyper::Error),
    #[error("the upstream's connection is not a stream of a session")]
    ForeignStream,
    #[error("neither side has said anything for as long as the plan allows")]
    Silent,
    #[error("the visitor is gone")]
    Visitor(#[from] std::io::Error),
}

impl UpgradeFailure {
    const fn by(&self) -> By {
        match self {
            Self::Http(_) | Self::Visitor(_) => By::Visitor,
            Self::Deadline | Self::ForeignStream | Self::Silent => By::Node,
        }
    }
}

/// A visitor whose connection switches protocols.
pub(super) struct Switched {
    pub(super) connection: Arc<VisitorConnection>,
    /// Counts what passes.
    pub(super) count: Count,
    pub(super) io: OnUpgrade,
    /// Its stream's, over HTTP/2.
    pub(super) tie: Option<Tie>,
    /// Its request's among those of the endpoint.
    pub(super) place: Option<RequestPlace>,
    /// How long neither side may say anything.
    pub(super) idle_max: Duration,
}

/// Carries bytes as they are once both sides have switched. What the visitor sent early waits until then.
pub(super) fn carry(node: &Node, visitor: Switched, upstream: OnUpgrade) {
    let Switched { connection, count, io, tie, place, idle_max } = visitor;
    node.visitor_tasks.spawn("upgraded connection", async move {
        let access = count.access().clone();
        match splice((io, tie), upstream, count, idle_max).await {
            Ok(end) => {
                access.ended(end);
                tracing::debug!(?end, "upgraded connection ended");
            }
            Err(failure) => {
                access.cut(failure.by());
                tracing::debug!(%failure, "upgraded connection failed");
            }
        }
        // Until here the connection had its place among the node's, and the request among the endpoint's.
        drop((connection, place));
    });
}

async fn splice(
    (visitor, tie): (OnUpgrade, Option<Tie>),
    upstream: OnUpgrade,
    count: Count,
    idle_max: Duration,
) -> Result<PumpEnd, UpgradeFailure> {
    let visitor = async { Ok(Carried::new(TokioIo::new(visitor.await?), tie)) };
    let both = async { tokio::try_join!(visitor, upstream) };
    let (mut visitor, upstream) =
        timeout(HANDSHAKE_DEADLINE, both).await.map_err(|_| UpgradeFailure::Deadline)??;
    let (stream, early) = client::into_io::<Traced>(upstream).map_err(|_| UpgradeFailure::ForeignStream)?;
    let (stream, weight) = stream.into_carried();
    let mut counted = CountedIo::new(Patient::new(&mut visitor, WRITE_STALL), count);
    let write_early = async {
        counted.write_all(&early).await?;
        counted.flush().await
    };
    timeout(HANDSHAKE_DEADLINE, write_early).await.map_err(|_| UpgradeFailure::Deadline)??;
    let traffic = Traffic::default();
    let end = tokio::select! {
        end = adit_mux::pump(stream, &mut counted, PumpLimits::of_server(), &traffic) => end,
        () = silent_for(&traffic, idle_max) => return Err(UpgradeFailure::Silent),
    };
    drop(weight);
    if matches!(end, PumpEnd::Complete | PumpEnd::Unread) {
        visitor.complete();
    }
    Ok(end)
}

/// Waits until nothing has passed for so long, or a quarter longer.
async fn silent_for(traffic: &Traffic, idle_max: Duration) {
    const LOOKS: u32 = 4;
    let passed = || (traffic.to_io_bytes(), traffic.to_stream_bytes());
    let (mut seen, mut silent_looks) = (passed(), 0_u32);
    while silent_looks < LOOKS {
        sleep(idle_max / LOOKS).await;
        let now = passed();
        silent_looks = if now == seen { silent_looks.saturating_add(1) } else { 0 };
        seen = now;
    }
}
