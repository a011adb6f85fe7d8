//! One record, from the first that is known of a request to the line in the log.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_api::Code;
use adit_domain::id::{RequestId, TenantId};
use adit_domain::{EndpointKind, Hostname, Timestamp};
use adit_mux::{Answer, FlowEnd, PumpEnd, StreamError};
use adit_process::shutdown::{Phase, Shutdown};
use adit_wire::record::AbortCode;
use http::{Method, Uri};
use tokio::time::Instant;

use super::TARGET;
use super::shown::shown;
use crate::limits::{ACCESS_METHOD_BYTES_MAX, ACCESS_PATH_BYTES_MAX};

/// Who broke something off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Visitor,
    Node,
    /// Its session or its stream ended, whoever ended that.
    Agent,
    Upstream,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// All of the response was given to the visitor's connection, or both directions have ended.
    Served,
    /// The node answered, or in what is not HTTP broke off before an upstream had it.
    Refused(Code),
    Cut(By),
}

/// What is known when it comes.
pub(super) struct Begun {
    id: RequestId,
    visitor: SocketAddr,
    kind: EndpointKind,
    method: Option<String>,
    path: Option<String>,
}

impl Begun {
    /// Of the target nothing but the path: what follows it may be a secret.
    pub(super) fn request((id, visitor): (RequestId, SocketAddr), method: &Method, uri: &Uri) -> Self {
        let method = shown(method.as_str(), ACCESS_METHOD_BYTES_MAX);
        let path = shown(uri.path(), ACCESS_PATH_BYTES_MAX);
        Self { id, visitor, kind: EndpointKind::Http, method: Some(method), path: Some(path) }
    }

    pub(super) const fn connection((id, visitor): (RequestId, SocketAddr), kind: EndpointKind) -> Self {
        Self { id, visitor, kind, method: None, path: None }
    }
}

/// Dropped, it writes itself.
pub(super) struct Record {
    begun: Begun,
    came: Timestamp,
    since: Instant,
    shutdown: Shutdown,
    pub(super) in_bytes: AtomicU64,
    pub(super) out_bytes: AtomicU64,
    pub(super) tries: AtomicU32,
    facts: Mutex<Facts>,
}

/// What is learned of it.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) hostname: Option<Hostname>,
    pub(super) tenant: Option<TenantId>,
    pub(super) stream: Option<RequestId>,
    pub(super) status: Option<u16>,
    pub(super) head: Option<Duration>,
    pub(super) end: Option<End>,
    pub(super) is_left_out: bool,
}

impl Record {
    pub(super) fn new(begun: Begun, came: Timestamp, shutdown: Shutdown) -> Self {
        let (in_bytes, out_bytes, tries) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU32::new(0));
        let (since, facts) = (Instant::now(), Mutex::default());
        Self { begun, came, since, shutdown, in_bytes, out_bytes, tries, facts }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lasted(&self) -> Duration {
        self.since.elapsed()
    }

    /// Nobody has said how it ended: the one who carried it was let go of, by the visitor's end or the node's.
    fn abandoned(&self) -> End {
        let is_leaving = self.shutdown.phase() != Phase::Running;
        End::Cut(if is_leaving { By::Node } else { By::Visitor })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let facts = std::mem::take(&mut *self.facts());
        if facts.is_left_out {
            return;
        }
        let Begun { id, visitor, kind, method, path } = &self.begun;
        let (outcome, code, by) = facts.end.unwrap_or_else(|| self.abandoned()).words();
        tracing::debug!(
            target: TARGET,
            %id,
            came = %self.came,
            %visitor,
            %kind,
            tenant = facts.tenant.map(display),
            hostname = facts.hostname.as_ref().map(display),
            method = method.as_ref().map(display),
            path = path.as_ref().map(display),
            outcome = %outcome,
            status = facts.status,
            code = code.map(display),
            by = by.map(display),
            in_bytes = self.in_bytes.load(Ordering::Relaxed),
            out_bytes = self.out_bytes.load(Ordering::Relaxed),
            tries = self.tries.load(Ordering::Relaxed),
            stream = facts.stream.map(display),
            head_us = facts.head.map(micros),
            total_us = micros(self.lasted()),
        );
    }
}

impl End {
    const fn words(self) -> (&'static str, Option<Code>, Option<&'static str>) {
        match self {
            Self::Served => ("served", None, None),
            Self::Refused(code) => ("refused", Some(code), None),
            Self::Cut(by) => ("cut", None, Some(by.word())),
        }
    }
}

impl By {
    /// Who ended a stream that failed like this; `None` if it did not fail.
    pub(crate) const fn of(failed: Option<StreamError>) -> Self {
        match failed {
            None => Self::Upstream,
            Some(StreamError::Aborted(code)) => Self::of_abort(code),
            Some(_) => Self::Agent,
        }
    }

    const fn of_abort(code: AbortCode) -> Self {
        match code {
            AbortCode::UpstreamBroken | AbortCode::Idle => Self::Upstream,
            _ => Self::Agent,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Node => "node",
            Self::Agent => "agent",
            Self::Upstream => "upstream",
        }
    }
}

impl From<PumpEnd> for End {
    fn from(end: PumpEnd) -> Self {
        match end {
            PumpEnd::Complete | PumpEnd::Unread => Self::Served,
            PumpEnd::Aborted(code) => Self::Cut(By::of_abort(code)),
            PumpEnd::Broken(_) => Self::Cut(By::Visitor),
            PumpEnd::Idle => Self::Cut(By::Node),
            _ => Self::Cut(By::Agent),
        }
    }
}

impl From<FlowEnd> for End {
    /// A flow ends by silence.
    fn from(end: FlowEnd) -> Self {
        match end {
            FlowEnd::Idle | FlowEnd::Aborted(AbortCode::Idle) => Self::Served,
            FlowEnd::NotReached(Answer::TimedOut) => Self::Refused(Code::UpstreamConnectTimeout),
            FlowEnd::NotReached(_) => Self::Refused(Code::UpstreamRefused),
            FlowEnd::Aborted(code) => Self::Cut(By::of_abort(code)),
            FlowEnd::Broken(_) => Self::Cut(By::Node),
            _ => Self::Cut(By::Agent),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
