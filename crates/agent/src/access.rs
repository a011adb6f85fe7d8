//! The agent's side of the access log: one record of each stream, written when it has ended. docs/access-log.md has its fields.

use std::io;
use std::task::{Context, Poll};

use adit_mux::{Answer, DatagramIo, FlowEnd, PumpEnd, Traffic};
use adit_wire::record::AbortCode;
use adit_wire::stream::StreamHeader;
use tokio::time::Instant;

use crate::upstream::Upstream;

/// The target of the records, which are of level debug.
const TARGET: &str = "adit::access";

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Both directions, in order. A flow ends by silence.
    Served,
    /// No upstream had it: why.
    Refused(Refusal),
    /// It broke off.
    Cut(By),
}

/// Why a stream went nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Protocol,
    NotBound,
    Limit,
    UpstreamRefused,
    UpstreamTimedOut,
}

/// Who broke something off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Visitor,
    Node,
    Agent,
    Upstream,
}

/// Dropped, it writes itself, if anybody wants it.
pub(crate) struct Record<'a> {
    header: &'a StreamHeader,
    upstream: &'a Upstream,
    /// None while nobody wants the log: no clock is read then.
    since: Option<Instant>,
    traffic: Traffic,
    end: Option<End>,
}

impl<'a> Record<'a> {
    /// A stream has arrived.
    pub(crate) fn new(header: &'a StreamHeader, upstream: &'a Upstream) -> Self {
        let is_wanted = tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        let since = is_wanted.then(Instant::now);
        Self { header, upstream, since, traffic: Traffic::default(), end: None }
    }

    /// Counts what passes.
    pub(crate) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// How it ended; without a word it was the agent that let go.
    pub(crate) fn ended(&mut self, end: impl Into<End>) {
        self.end = Some(end.into());
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let Some(since) = self.since else { return };
        let StreamHeader { request, visitor, .. } = self.header;
        let (outcome, detail) = self.end.unwrap_or(End::Cut(By::Agent)).words();
        tracing::debug!(
            target: TARGET,
            stream = %request,
            %visitor,
            kind = %self.upstream.kind(),
            upstream = %self.upstream,
            outcome = %outcome,
            by = detail.by.map(tracing::field::display),
            reason = detail.reason.map(tracing::field::display),
            in_bytes = self.traffic.to_io_bytes(),
            out_bytes = self.traffic.to_stream_bytes(),
            total_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
    }
}

#[derive(Default)]
struct Detail {
    by: Option<&'static str>,
    reason: Option<&'static str>,
}

impl End {
    fn words(self) -> (&'static str, Detail) {
        match self {
            Self::Served => ("served", Detail::default()),
            Self::Refused(refusal) => {
                ("refused", Detail { reason: Some(refusal.word()), ..Detail::default() })
            }
            Self::Cut(by) => ("cut", Detail { by: Some(by.word()), ..Detail::default() }),
        }
    }
}

impl Refusal {
    const fn word(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::NotBound => "not_bound",
            Self::Limit => "limit",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamTimedOut => "upstream_timed_out",
        }
    }
}

impl By {
    const fn of_abort(code: AbortCode) -> Self {
        match code {
            AbortCode::VisitorGone => Self::Visitor,
            _ => Self::Node,
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

impl From<Answer> for End {
    /// What the node was told instead of *dialled*.
    fn from(answer: Answer) -> Self {
        Self::Refused(match answer {
            Answer::TimedOut => Refusal::UpstreamTimedOut,
            Answer::Refused | Answer::Dialled => Refusal::UpstreamRefused,
        })
    }
}

impl From<PumpEnd> for End {
    fn from(end: PumpEnd) -> Self {
        match end {
            PumpEnd::Complete | PumpEnd::Unread => Self::Served,
            PumpEnd::Aborted(code) => Self::Cut(By::of_abort(code)),
            PumpEnd::Broken(_) => Self::Cut(By::Upstream),
            PumpEnd::Idle => Self::Cut(By::Agent),
            _ => Self::Cut(By::Node),
        }
    }
}

impl From<FlowEnd> for End {
    fn from(end: FlowEnd) -> Self {
        match end {
            FlowEnd::Idle | FlowEnd::Aborted(AbortCode::Idle) => Self::Served,
            FlowEnd::Aborted(code) => Self::Cut(By::of_abort(code)),
            FlowEnd::Broken(_) => Self::Cut(By::Upstream),
            _ => Self::Cut(By::Node),
        }
    }
}

/// A flow's socket whose datagrams are counted.
pub(crate) struct Counted<'a, I> {
    io: I,
    traffic: &'a Traffic,
}

impl<'a, I> Counted<'a, I> {
    pub(crate) const fn new(io: I, traffic: &'a Traffic) -> Self {
        Self { io, traffic }
    }
}

impl<I: DatagramIo> DatagramIo for Counted<'_, I> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let before = datagram.len();
        let polled = self.io.poll_recv(cx, datagram);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.traffic.gave(datagram.len().saturating_sub(before));
        }
        polled
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        let polled = self.io.poll_send(cx, datagram);
        if polled.is_ready() {
            self.traffic.took(datagram.len());
        }
        polled
    }

    fn reached(&mut self) {
        self.io.reached();
    }
}
