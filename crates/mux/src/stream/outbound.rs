//! The writing half of a stream: records put together, header and data in one yamux frame.

use std::{
    io::IoSlice,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use adit_wire::{
    limits::FRAME_CREDIT_BYTES,
    record::{AbortCode, RECORD_HEADER_LEN, RecordHeader, abort},
};
use bytes::BufMut as _;
use futures::AsyncWrite as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{
    limits::{
        FRAME_BODY_BYTES_SENT_MAX, RECORD_DATA_BYTES_ALONE, RECORD_DATA_BYTES_SHARED, RECORDS_READ_ALONE,
    },
    shared::{Seat, Shared},
    stream::{DatagramIo, StreamError},
};

/// What the largest frame that we send takes from the credit.
const FULL_FRAME_COST: usize = FRAME_BODY_BYTES_SENT_MAX + FRAME_CREDIT_BYTES;

/// The records that are on their way to yamux. Bytes of a caller that are staged here count as written.
#[derive(Debug)]
pub(crate) struct Outbound {
    staged: Vec<u8>,
    /// Where the record begins that is being sent.
    start: usize,
    sent: usize,
    /// The last so many bytes of `staged` are data without a record around them yet. The header of each goes where the last
    /// bytes were that have been sent before it.
    unframed: usize,
    /// What must be sendable before the first of it is sent.
    least: usize,
    phase: Phase,
    /// Data that may still be sent before the agent has answered; `None` where that is no question.
    early_left: Option<usize>,
    /// The last read filled its room, so there is more to read.
    is_flowing: bool,
    busy: Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The acceptor must answer first.
    OwesAnswer,
    Open,
    Ended,
    /// Given up: there is no end to send any more.
    Aborted,
}

type Raw<'a> = (&'a mut yamux::Stream, &'a Seat);

impl Outbound {
    pub(crate) fn new(phase: Phase, early_left: Option<usize>, shared: &Arc<Shared>) -> Self {
        Self {
            staged: Vec::new(),
            start: 0,
            sent: 0,
            unframed: 0,
            least: 0,
            phase,
            early_left,
            is_flowing: false,
            busy: Busy { shared: Arc::clone(shared), is_counted: false, is_starved: false },
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// How much data may still be sent before the agent has answered; `None`: it has.
    pub(crate) fn early_left(&self) -> Option<usize> {
        self.early_left
    }

    /// The agent has the upstream: what is sent has no bound any more.
    pub(crate) fn dialled(&mut self) {
        self.early_left = None;
    }

    /// Whether our *end* has been sent.
    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended && self.staged.is_empty()
    }

    /// Waits until nothing is staged. Credit, a queue and yamux's window are what it waits for.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        (raw, seat): Raw<'_>,
    ) -> Poll<Result<(), StreamError>> {
        while self.begin_record()? {
            seat.parked().writer.register(cx.waker());
            if seat.is_severed() {
                return Poll::Ready(Err(StreamError::Cut));
            }
            let least = if self.sent == 0 { self.least } else { 0 };
            let Some(room) = seat.room(least) else {
                if !seat.parked().has_credit() {
                    self.busy.starve();
                    self.shed();
                }
                return Poll::Pending;
            };
            self.busy.feed();
            let rest = self.staged.get(self.sent..self.record_end()).unwrap_or_default();
            let rest = rest.get(..room).unwrap_or(rest);
            let written = ready!(poll_frame(cx, rest, (&mut *raw, seat))).map_err(|_| StreamError::Cut)?;
            self.sent = self.sent.saturating_add(written);
        }
        self.staged.clear();
        self.reset();
        Poll::Ready(Ok(()))
    }

    /// Nothing is staged any more.
    fn reset(&mut self) {
        (self.start, self.sent, self.unframed, self.least) = (0, 0, 0, 0);
    }

    /// Holds no more than the record that is being sent and what comes behind it: many streams may wait for credit, and for
    /// long.
    fn shed(&mut self) {
        if self.staged.capacity() <= RECORD_DATA_BYTES_ALONE.saturating_mul(2) {
            return;
        }
        self.staged.drain(..self.start);
        self.sent = self.sent.saturating_sub(self.start);
        self.start = 0;
        self.staged.shrink_to_fit();
    }

    /// Whether there is something to send: more of a record, or another one, which then begins.
    fn begin_record(&mut self) -> Result<bool, StreamError> {
        let end = self.record_end();
        if self.sent < end || self.unframed == 0 {
            return Ok(self.sent < end);
        }
        let taken = self.unframed.min(self.record_data_bytes_max());
        let start = end.saturating_sub(RECORD_HEADER_LEN);
        let room = self.staged.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
        *room.ok_or(StreamError::NotWritable)? = RecordHeader::data(taken)?.encode();
        (self.start, self.sent) = (start, start);
        self.unframed = self.unframed.saturating_sub(taken);
        Ok(true)
    }

    /// Where the record ends that is being sent.
    fn record_end(&self) -> usize {
        self.staged.len().saturating_sub(self.unframed)
    }

    /// Stages bytes that are not a data record. Nothing else may be staged.
    pub(crate) fn stage(&mut self, bytes: &[u8]) {
        self.staged.extend_from_slice(bytes);
    }

    /// Stages one data record with as much of `parts` as fits; says how much that is.
    pub(crate) fn stage_data(&mut self, parts: &[IoSlice<'_>]) -> Result<usize, StreamError> {
        let given = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        let taken = given.min(self.data_bytes_max());
        let header = RecordHeader::data(taken)?;
        self.staged.reserve(taken.saturating_add(RECORD_HEADER_LEN));
        self.staged.extend_from_slice(&header.encode());
        let mut left = taken;
        for part in parts {
            let piece = part.get(..left).unwrap_or(part);
            self.staged.extend_from_slice(piece);
            left = left.saturating_sub(piece.len());
        }
        self.count_early(taken);
        Ok(taken)
    }

    /// Reads once from `io` into the room behind a record header, so that the bytes are staged without another copy.
    /// Zero is the end of `io`.
    pub(crate) fn poll_stage_from<I: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        (io, seat): (&mut I, &Seat),
    ) -> Poll<std::io::Result<usize>> {
        let bytes_max = self.read_bytes_max(seat);
        self.staged.reserve_exact(bytes_max.saturating_add(RECORD_HEADER_LEN));
        self.staged.extend_from_slice(&[0; RECORD_HEADER_LEN]);
        let read = {
            let mut room = (&mut self.staged).limit(bytes_max);
            let read = pin!(io.read_buf(&mut room));
            read.poll(cx)
        };
        match &read {
            Poll::Ready(Ok(bytes @ 1..)) => {
                (self.sent, self.unframed) = (RECORD_HEADER_LEN, *bytes);
                self.is_flowing = *bytes == bytes_max;
                self.count_early(*bytes);
            }
            _ => self.rest(),
        }
        read
    }

    /// Stages the next datagram of `io`, behind a record header.
    pub(crate) fn poll_stage_datagram<I: DatagramIo>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut I,
    ) -> Poll<std::io::Result<()>> {
        self.busy.set(true);
        self.staged.extend_from_slice(&[0; RECORD_HEADER_LEN]);
        let received = io.poll_recv(cx, &mut self.staged);
        if let Poll::Ready(Ok(())) = received {
            let bytes = self.staged.len().saturating_sub(RECORD_HEADER_LEN);
            let header = RecordHeader::datagram(bytes).map_err(std::io::Error::other)?;
            let room = self.staged.first_chunk_mut();
            *room.ok_or(std::io::ErrorKind::Other)? = header.encode();
            self.least = credit_for(self.staged.len()).saturating_sub(FRAME_CREDIT_BYTES);
        } else {
            self.rest();
        }
        received
    }

    /// Nothing is under way: other streams may use large records, and the memory goes back.
    pub(crate) fn rest(&mut self) {
        self.staged = Vec::new();
        self.is_flowing = false;
        self.reset();
        self.busy.set(false);
    }

    /// Waits until the end of this direction is on its way.
    pub(crate) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        (raw, seat): Raw<'_>,
    ) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_drain(cx, (&mut *raw, seat)))?;
        if self.phase == Phase::Aborted {
            return Poll::Ready(Err(StreamError::NotWritable));
        }
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            self.stage(&RecordHeader::END.encode());
            ready!(self.poll_drain(cx, (raw, seat)))?;
        }
        self.rest();
        Poll::Ready(Ok(()))
    }

    pub(crate) fn answered(&mut self) {
        self.phase = Phase::Open;
    }

    /// Tells the peer why the stream is given up, if that is possible without waiting.
    pub(crate) fn abort_now(&mut self, code: AbortCode, raw: Raw<'_>) {
        if self.phase == Phase::Aborted {
            return;
        }
        // Of what was begun all must be sent, of the rest nothing.
        let is_begun = self.phase == Phase::Ended || self.sent > self.start;
        let kept = if is_begun { self.record_end() } else { self.start };
        self.staged.truncate(kept);
        (self.unframed, self.least) = (0, 0);
        if self.phase != Phase::Ended {
            self.stage(&abort(code));
        }
        self.phase = Phase::Aborted;
        let _ = self.poll_drain(&mut Context::from_waker(Waker::noop()), raw);
        self.rest();
    }

    /// How much data goes into one record now. Counts this stream as busy.
    fn data_bytes_max(&mut self) -> usize {
        self.busy.set(true);
        let usual = self.record_data_bytes_max();
        self.early_left.map_or(usual, |left| left.min(usual))
    }

    /// How much is read at once: several records if there was more than one the last time, and the connection and the
    /// stream's credit take them now.
    fn read_bytes_max(&mut self, seat: &Seat) -> usize {
        let record = self.data_bytes_max();
        let is_free = self.busy.is_alone() && !seat.shared().line.is_blocked();
        if !self.is_flowing || !is_free || self.early_left.is_some() {
            return record;
        }
        let records = seat.parked().bytes_sendable() / FULL_FRAME_COST;
        record.saturating_mul(records.clamp(1, RECORDS_READ_ALONE))
    }

    fn record_data_bytes_max(&self) -> usize {
        if self.busy.is_alone() { RECORD_DATA_BYTES_ALONE } else { RECORD_DATA_BYTES_SHARED }
    }

    fn count_early(&mut self, bytes: usize) {
        self.early_left = self.early_left.map(|left| left.saturating_sub(bytes));
    }
}

/// What a record of so many bytes takes from the credit, in frames that are as large as we send them.
fn credit_for(record_bytes: usize) -> usize {
    let frames = record_bytes.div_ceil(FRAME_BODY_BYTES_SENT_MAX);
    record_bytes.saturating_add(frames.saturating_mul(FRAME_CREDIT_BYTES))
}

/// Gives yamux one frame, and counts it.
fn poll_frame(cx: &mut Context<'_>, body: &[u8], (raw, seat): Raw<'_>) -> Poll<std::io::Result<usize>> {
    seat.parked().sending();
    let written = Pin::new(raw).poll_write(cx, body);
    match &written {
        Poll::Ready(Ok(bytes)) => seat.parked().sent(*bytes),
        _ => seat.parked().not_sent(),
    }
    written
}

/// Whether this stream has bytes under way: from a write until the next flush that finds nothing left. One that waits for
/// credit takes nothing of the connection from the others.
#[derive(Debug)]
struct Busy {
    shared: Arc<Shared>,
    is_counted: bool,
    is_starved: bool,
}

impl Busy {
    /// Whether no other stream of the connection is busy.
    fn is_alone(&self) -> bool {
        self.shared.busy() <= 1
    }

    fn starve(&mut self) {
        if self.is_counted {
            self.set(false);
            self.is_starved = true;
        }
    }

    fn feed(&mut self) {
        if self.is_starved {
            self.set(true);
        }
    }

    fn set(&mut self, busy: bool) {
        self.is_starved = false;
        match (self.is_counted, busy) {
            (false, true) => self.shared.add_busy(),
            (true, false) => self.shared.remove_busy(),
            _ => {}
        }
        self.is_counted = busy;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.set(false);
    }
}
