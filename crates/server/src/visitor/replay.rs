//! A visitor's body that can be sent again from its beginning until an upstream has it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adit_web::body::IdleTimeout;
use adit_web::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::next::Kept;
use crate::limits::{HELD_BODY_BYTES_MAX, REQUEST_BODY_IDLE};
use crate::metering::Count;
use crate::trace::Trace;

/// The body of one request, for as many tries as it takes. What is read of it before the agent has its upstream is
/// kept, at most [`HELD_BODY_BYTES_MAX`]; more is not passed on until then.
#[derive(Clone)]
pub(super) struct Source(Arc<Mutex<State>>);

struct State {
    body: IdleTimeout<Body>,
    /// What was passed on and may have to be sent again. A copy: slices would hold on to the buffers that they are of.
    kept: BytesMut,
    kept_trailers: Option<HeaderMap>,
    /// How much of `kept` the present try has passed on.
    passed_bytes: usize,
    has_passed_trailers: bool,
    /// What was read and passed on to nobody yet: a frame may be larger than the room.
    beyond: Option<Bytes>,
    whole: Kept,
    /// The number of the try that may read.
    turn: u32,
    /// Of the endpoint, once it is known. It counts what an upstream may have seen, each byte once.
    count: Option<Count>,
    budget: Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Source {
    /// Keeps what it must within `budget`, in bytes, which all bodies share.
    pub(super) fn new(body: Body, budget: Arc<Semaphore>) -> Self {
        Self(Arc::new(Mutex::new(State {
            // Nobody reads it before the first try.
            body: IdleTimeout::new(body, REQUEST_BODY_IDLE),
            kept: BytesMut::new(),
            kept_trailers: None,
            passed_bytes: 0,
            has_passed_trailers: false,
            beyond: None,
            whole: Kept::Whole,
            turn: 0,
            count: None,
            budget,
            permits: Vec::new(),
        })))
    }

    /// The body from its beginning, which may make no progress for `idle`, for a try on the stream of `trace`. Earlier
    /// ones read no further.
    pub(super) fn replay(&self, idle: Duration, trace: Arc<Trace>, count: Count) -> Replay {
        let mut state = self.state();
        state.body.hold_to(idle);
        state.count = Some(count);
        state.turn = state.turn.wrapping_add(1);
        state.passed_bytes = 0;
        state.has_passed_trailers = false;
        let turn = state.turn;
        drop(state);
        Replay { source: self.clone(), turn, trace }
    }

    /// Whether all that was read is still there.
    pub(super) fn kept(&self) -> Kept {
        self.state().whole
    }

    /// The agent has its upstream: what has been passed on will not be sent again.
    pub(super) fn dialled(&self) {
        let mut state = self.state();
        if state.has_passed_kept() {
            state.let_go();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_passed_kept(&self) -> bool {
        self.passed_bytes >= self.kept.len() && self.has_passed_trailers == self.kept_trailers.is_some()
    }

    fn let_go(&mut self) {
        if !self.kept.is_empty() || self.kept_trailers.is_some() {
            self.whole = Kept::Spent;
        }
        self.count(self.kept.len());
        self.kept = BytesMut::new();
        self.kept_trailers = None;
        self.permits = Vec::new();
        self.passed_bytes = 0;
        self.has_passed_trailers = false;
    }

    fn count(&self, bytes: usize) {
        if let Some(count) = &self.count {
            count.incoming(bytes);
        }
    }

    /// What an earlier try has passed on already, and this one has not.
    fn again(&mut self) -> Option<Frame<Bytes>> {
        let unpassed = self.kept.get(self.passed_bytes..).filter(|bytes| !bytes.is_empty());
        if let Some(bytes) = unpassed {
            let bytes = Bytes::copy_from_slice(bytes);
            self.passed_bytes = self.kept.len();
            return Some(Frame::data(bytes));
        }
        let trailers = self.kept_trailers.clone().filter(|_| !self.has_passed_trailers)?;
        self.has_passed_trailers = true;
        Some(Frame::trailers(trailers))
    }

    fn poll_new(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.beyond.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    /// Keeps as much of a frame as there is room for, and returns that. `None`: there is none.
    fn keep(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let mut bytes = match frame.into_data() {
            Ok(bytes) => bytes,
            Err(frame) => {
                self.kept_trailers = frame.trailers_ref().cloned();
                self.has_passed_trailers = true;
                return Some(frame);
            }
        };
        let room = HELD_BODY_BYTES_MAX.saturating_sub(self.kept.len()).min(bytes.len());
        let permit = u32::try_from(room).ok().and_then(|room| {
            let budget = Arc::clone(&self.budget);
            budget.try_acquire_many_owned(room).ok()
        });
        let taken = bytes.split_to(permit.as_ref().map_or(0, |_| room));
        self.permits.extend(permit);
        self.kept.extend_from_slice(&taken);
        self.passed_bytes = self.kept.len();
        self.beyond = Some(bytes).filter(|bytes| !bytes.is_empty());
        Some(taken).filter(|taken| !taken.is_empty() || self.beyond.is_none()).map(Frame::data)
    }

    fn is_full(&self) -> bool {
        self.beyond.is_some() || self.kept.len() >= HELD_BODY_BYTES_MAX
    }

    fn has_ended(&self) -> bool {
        self.beyond.is_none() && self.body.is_end_stream()
    }
}

/// One try's view of a [`Source`].
pub(super) struct Replay {
    source: Source,
    turn: u32,
    trace: Arc<Trace>,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.source.state();
        if state.turn != self.turn {
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        if let Some(frame) = state.again() {
            if self.trace.is_dialled() && state.has_passed_kept() {
                state.let_go();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        // Registered before the look, so that an answer in between wakes.
        self.trace.wake_when_dialled(cx.waker());
        if self.trace.is_dialled() {
            state.let_go();
            let polled = state.poll_new(cx);
            if let Poll::Ready(Some(Ok(frame))) = &polled {
                state.whole = Kept::Spent;
                state.count(frame.data_ref().map_or(0, Bytes::len));
            }
            return polled;
        }
        if state.has_ended() {
            return Poll::Ready(None);
        }
        if state.is_full() {
            return Poll::Pending;
        }
        match ready!(state.poll_new(cx)) {
            Some(Ok(frame)) => match state.keep(frame) {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => Poll::Pending,
            },
            ended => Poll::Ready(ended),
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.source.state();
        state.has_passed_kept() && state.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.source.state();
        let kept = state.kept.len().saturating_sub(state.passed_bytes);
        let read = kept.saturating_add(state.beyond.as_ref().map_or(0, Bytes::len)) as u64;
        let rest = state.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }
}

#[cfg(test)]
mod tests;
