//! What happens on one connection, as its watcher must know it: bytes read, heads begun, requests in flight.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::scan::{Scan, Verdict};
use crate::flood::Flood;
use crate::interim::Lane;
use crate::limits::ServeLimits;
use crate::stall::after;

/// The bytes that open an HTTP/2 connection (RFC 9113 section 3.4).
const H2_PREFACE_BYTES: u64 = 24;

/// One connection's state, shared by its transport, its requests and its watcher. Locked for moments only.
pub(super) struct Activity {
    limits: ServeLimits,
    opened: Instant,
    lane: Arc<Lane>,
    state: Mutex<State>,
}

struct State {
    /// Follows HTTP/1 bytes; `None` on HTTP/2 and after an upgrade.
    scan: Option<Scan>,
    /// Follows HTTP/2 frames; `None` on HTTP/1.
    flood: Option<Flood>,
    is_flooded: bool,
    read_bytes: u64,
    /// Since when a head, whole or not, waits for hyper to make a request of it.
    head_since: Option<Instant>,
    requests: u64,
    in_flight: usize,
    /// Nothing of a response is on its way.
    is_flushed: bool,
    /// Since when the peer has ended its side.
    half_closed: Option<Instant>,
    last_end: Instant,
    last_write: Instant,
    /// Our end is being closed.
    is_ending: bool,
}

/// What to do when a moment has come and nothing changed until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Look again: requests are in flight.
    Recheck,
    /// Cut: the head is late.
    CutLate,
    /// Cut: it has ended its side and takes nothing.
    CutGone,
    /// Cut: it was told to close and does not.
    Cut,
    /// Tell it to close: it is idle.
    Close,
    /// Let it rest: nothing is on its way.
    Rest,
}

impl Activity {
    pub(super) fn http1(limits: ServeLimits) -> Self {
        Self::new(limits, Some(Scan::new()))
    }

    pub(super) fn http2(limits: ServeLimits) -> Self {
        Self::new(limits, None)
    }

    fn new(limits: ServeLimits, scan: Option<Scan>) -> Self {
        let now = Instant::now();
        let is_h2 = scan.is_none();
        let state = State {
            scan,
            flood: is_h2.then(|| Flood::of_server(now)),
            is_flooded: false,
            read_bytes: 0,
            head_since: None,
            requests: 0,
            in_flight: 0,
            is_flushed: true,
            half_closed: None,
            last_end: now,
            last_write: now,
            is_ending: false,
        };
        Self { limits, opened: now, lane: Arc::default(), state: Mutex::new(state) }
    }

    /// Takes interim responses to the request in flight.
    pub(super) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Bytes arrived from the peer.
    ///
    /// # Errors
    /// They are a flood, or chunks that two readers could tell apart in different ways. The connection must end.
    pub(super) fn read(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.read_bytes = state.read_bytes.saturating_add(bytes.len() as u64);
        if let Some(flood) = &mut state.flood
            && !flood.read(bytes, Instant::now())
        {
            state.is_flooded = true;
            return Err(io::Error::other("flood of frames"));
        }
        let Some(scan) = &mut state.scan else { return Ok(()) };
        let before = scan.heads();
        scan.feed(bytes);
        if scan.is_body_broken() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "broken chunks"));
        }
        let begun_anew = scan.heads() != before;
        if !scan.is_head_waiting() {
            state.head_since = None;
        } else if begun_anew || state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
        Ok(())
    }

    /// The peer took bytes.
    pub(super) fn wrote<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) {
        let mut state = self.state();
        state.last_write = Instant::now();
        if let Some(flood) = &mut state.flood {
            pieces.for_each(|piece| flood.wrote(piece));
        }
    }

    /// What a peer is told whose connection is ended for a flood, if it can be told.
    pub(super) fn farewell(&self) -> Option<Vec<u8>> {
        let state = self.state();
        state.flood.as_ref().filter(|_| state.is_flooded)?.farewell()
    }

    /// Whether the connection was ended for a flood.
    pub(super) fn is_flooded(&self) -> bool {
        self.state().is_flooded
    }

    /// All that was written has gone out. The end of a response is written after it was handed out.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        state.is_flushed |= state.in_flight == 0;
    }

    /// Whether a head waits that no request was made of, and nothing else is going on: what is written now may be hyper's
    /// own word on it.
    pub(super) fn is_head_alone(&self) -> bool {
        let state = self.state();
        state.scan.is_some() && state.in_flight == 0 && state.is_flushed && state.head_since.is_some()
    }

    /// A request goes to the service; says what its head was worth. Each call needs its [`Activity::end`].
    pub(super) fn begin(&self) -> Verdict {
        let mut state = self.state();
        state.requests = state.requests.saturating_add(1);
        state.in_flight = state.in_flight.saturating_add(1);
        state.is_flushed = false;
        let Some(scan) = &mut state.scan else {
            return if state.is_h2() { Verdict::Clear } else { Verdict::Ambiguous };
        };
        let verdict = scan.verdict().unwrap_or(Verdict::Ambiguous);
        state.head_since = scan.is_head_waiting().then(Instant::now);
        verdict
    }

    /// Something else goes on. Each call needs its [`Activity::end`], too.
    pub(super) fn hold(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_add(1);
    }

    /// A request is over: its response has been handed out, or it was dropped.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.last_end = Instant::now();
    }

    /// Our end of the connection is being closed, which may take a while.
    pub(super) fn ending(&self) {
        self.state().is_ending = true;
    }

    /// From here on the bytes are not HTTP any more.
    pub(super) fn upgraded(&self) {
        self.state().scan = None;
    }

    /// Whether a whole request is being answered, and nothing of the next one has come.
    pub(super) fn is_answering(&self) -> bool {
        let state = self.state();
        state.in_flight > 0 && state.scan.as_ref().is_some_and(|scan| !scan.is_mid_request())
    }

    /// The peer has ended its side.
    pub(super) fn half_closed(&self) {
        self.state().half_closed.get_or_insert_with(Instant::now);
    }

    /// Whether the peer is in the middle of a request: more of it may be on its way.
    pub(super) fn is_mid_request(&self) -> bool {
        self.state().scan.as_ref().is_some_and(Scan::is_mid_request)
    }

    /// Whether no request is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.state().in_flight == 0
    }

    /// The next moment that matters if nothing happens until then. `closing`: since when it was told to close.
    pub(super) fn due(&self, closing: Option<Instant>) -> (Instant, Then) {
        let limits = &self.limits;
        let state = self.state();
        if let (true, Some(since)) = (state.in_flight > 0, state.half_closed) {
            return (after(since.max(state.last_write), limits.half_closed_idle), Then::CutGone);
        }
        if state.in_flight > 0 {
            return (after(Instant::now(), limits.idle), Then::Recheck);
        }
        if let Some(since) = state.head_since {
            // hyper reads no head while it still writes.
            let since = since.max(state.last_end).max(state.last_write);
            return (after(since, limits.head_deadline), Then::CutLate);
        }
        if let Some(closing) = closing {
            return (after(closing.max(state.last_write), limits.head_deadline), Then::Cut);
        }
        let silent = state.requests == 0 && (!state.is_h2() || state.read_bytes < H2_PREFACE_BYTES);
        if silent {
            return (after(self.opened, limits.head_deadline), Then::CutLate);
        }
        // The end of a long response may still be on its way. On HTTP/2 our own PINGs are writes, too.
        let last = if state.is_h2() { state.last_end } else { state.last_end.max(state.last_write) };
        let close = after(last, limits.idle);
        if state.may_rest() && Instant::now() < close {
            return (close.min(after(last, limits.rest_after)), Then::Rest);
        }
        (close, Then::Close)
    }

    /// When a connection that rests is to be closed.
    pub(super) fn rests_until(&self) -> Instant {
        let state = self.state();
        after(state.last_end.max(state.last_write), self.limits.idle)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_h2(&self) -> bool {
        self.flood.is_some()
    }

    /// Whether nothing of HTTP/1 is on its way in either direction. hyper then has nothing that was read and not used: an empty
    /// line is the beginning of a head.
    fn may_rest(&self) -> bool {
        let is_between = self.scan.as_ref().is_some_and(|scan| !scan.is_mid_request());
        is_between && self.is_flushed && self.half_closed.is_none() && !self.is_ending
    }
}
