//! The reading half of a stream: records taken apart.

use std::{
    io::IoSlice,
    task::{Context, Poll, Waker, ready},
};

use adit_wire::{
    limits::EARLY_BYTES_MAX,
    record::{ABORT_BODY_LEN, RECORD_HEADER_LEN, RecordHeader, RecordKind, abort_code},
    stream::STREAM_HEADER_LEN,
};
use bytes::{Buf as _, BytesMut};

use crate::{
    limits::{DATAGRAM_BYTES_KEPT, FRAMES_PASSED_ON_MAX, RECORD_DATA_BYTES_SHARED},
    shared::Seat,
    stream::{
        Answer, StreamError,
        ahead::Ahead,
        carries::Carries,
        packets::{Block, Packets},
        window::Window,
    },
};

/// What the reading half knows.
#[derive(Debug)]
pub(crate) struct Inbound {
    packets: Packets,
    header: Block<RECORD_HEADER_LEN>,
    abort: Block<ABORT_BODY_LEN>,
    next: Next,
    expects: Expects,
    /// Data that came before our own answer; it is read first.
    early: BytesMut,
    /// Data that comes before what `packets` has.
    ahead: Ahead,
    /// What has arrived of the datagram that is being read.
    datagram: Vec<u8>,
    carries: Carries,
    window: Window,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy)]
enum Next {
    Header,
    Data {
        bytes_left: usize,
    },
    Datagram {
        bytes_left: usize,
    },
    /// A datagram is whole, and nobody has taken it yet.
    WholeDatagram,
    AbortCode,
    Nothing(Result<(), StreamError>),
}

/// Which records have their place now.
#[derive(Debug, Clone, Copy)]
enum Expects {
    Accepted,
    Answer,
    Bytes(Answer),
}

type Raw<'a> = (&'a mut yamux::Stream, &'a Seat);

impl Inbound {
    /// Of a stream that this side opened: the peer's answers come first.
    pub(crate) fn of_opener(window: Window) -> Self {
        Self::new(Expects::Accepted, window)
    }

    /// Of a stream that the peer opened; its header has been read with [`Inbound::poll_stream_header`].
    pub(crate) fn of_acceptor(window: Window) -> Self {
        Self::new(Expects::Bytes(Answer::Dialled), window)
    }

    fn new(expects: Expects, window: Window) -> Self {
        Self {
            packets: Packets::default(),
            header: Block::new(),
            abort: Block::new(),
            next: Next::Header,
            expects,
            early: BytesMut::new(),
            ahead: Ahead::default(),
            datagram: Vec::new(),
            carries: Carries::Bytes,
            window,
        }
    }

    /// The header has said what the stream is made of.
    pub(crate) fn carry(&mut self, carries: Carries) {
        self.carries = carries;
        if carries == Carries::Datagrams {
            self.window.keep_room_for_datagrams();
        }
    }

    pub(crate) fn carries(&self) -> Carries {
        self.carries
    }

    /// Reads the block in front of the first record.
    pub(crate) fn poll_stream_header(
        &mut self,
        cx: &mut Context<'_>,
        block: &mut Block<STREAM_HEADER_LEN>,
        raw: Raw<'_>,
    ) -> Poll<Result<[u8; STREAM_HEADER_LEN], StreamError>> {
        let (raw, seat) = raw;
        block.poll_fill(cx, &mut self.packets, (raw, Some(seat))).map(|bytes| bytes.ok_or(StreamError::Cut))
    }

    /// Waits for the agent's answer. Data cannot come before it.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        mut raw: Raw<'_>,
    ) -> Poll<Result<Answer, StreamError>> {
        loop {
            if let Some(answer) = self.answer() {
                return Poll::Ready(Ok(answer));
            }
            if let Next::Nothing(end) = self.next {
                return Poll::Ready(Err(end.err().unwrap_or(StreamError::Cut)));
            }
            ready!(self.poll_step(cx, &mut raw));
        }
    }

    /// The agent's answer, as far as it has been read.
    pub(crate) fn answer(&self) -> Option<Answer> {
        match self.expects {
            Expects::Bytes(answer) => Some(answer),
            Expects::Accepted | Expects::Answer => None,
        }
    }

    /// Sets aside the data that has come before our own answer. What is here now was sent without it, so it is bounded:
    /// afterwards nobody could tell.
    pub(crate) fn set_early_aside(&mut self, (raw, seat): Raw<'_>) -> Result<(), StreamError> {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(true)) = self.poll_arrived(&mut cx, (&mut *raw, seat)) {
            let bytes = self.arrived().len();
            if self.early.len().saturating_add(bytes) > EARLY_BYTES_MAX {
                self.early = BytesMut::new();
                self.next = Next::Nothing(Err(StreamError::TooEarly));
                return Err(StreamError::TooEarly);
            }
            let Self { early, packets, .. } = self;
            early.extend_from_slice(packets.rest().get(..bytes).unwrap_or_default());
            self.consume_arrived(bytes);
        }
        Ok(())
    }

    /// Waits until [`Inbound::data`] is not empty. `false`: the peer has ended its direction.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        raw: Raw<'_>,
    ) -> Poll<Result<bool, StreamError>> {
        if self.early.is_empty() && self.ahead.is_empty() {
            return self.poll_arrived(cx, raw);
        }
        Poll::Ready(Ok(true))
    }

    /// Data that can be read without waiting, not always all of it.
    pub(crate) fn data(&self) -> &[u8] {
        match (self.early.is_empty(), self.ahead.is_empty()) {
            (false, _) => &self.early,
            (true, false) => self.ahead.first(),
            (true, true) => self.arrived(),
        }
    }

    /// The same and what can be read without waiting behind it, in at most [`FRAMES_PASSED_ON_MAX`] pieces. Says how many
    /// there are.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; FRAMES_PASSED_ON_MAX]) -> usize {
        if !self.early.is_empty() {
            slices[0] = IoSlice::new(&self.early);
            return 1;
        }
        let ahead = self.ahead.slices(slices);
        match slices.get_mut(ahead) {
            Some(last) if !self.arrived().is_empty() => {
                *last = IoSlice::new(self.arrived());
                ahead.saturating_add(1)
            }
            _ => ahead,
        }
    }

    /// Takes bytes from the front of [`Inbound::data`] and of what comes behind it.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if self.early.is_empty() {
            let (taken, cost) = self.ahead.consume(bytes);
            self.packets.owe(cost);
            return self.consume_arrived(bytes.saturating_sub(taken));
        }
        self.early.advance(bytes.min(self.early.len()));
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
    }

    /// Looks for more behind large [`Inbound::data`], without waiting for it.
    pub(crate) fn look_ahead(&mut self, cx: &mut Context<'_>, mut raw: Raw<'_>) {
        while self.early.is_empty() && !self.ahead.is_full() {
            let bytes = self.arrived().len();
            // A frame that ends within a record, or holds another one, is read in place; a small one has seldom a successor.
            if bytes < RECORD_DATA_BYTES_SHARED || bytes != self.packets.rest().len() {
                return;
            }
            if let Some(piece) = self.packets.take() {
                self.ahead.push(piece);
            }
            self.pass_over(bytes);
            while self.arrived().is_empty() && !matches!(self.next, Next::Nothing(_)) {
                if self.poll_step(cx, &mut raw).is_pending() {
                    return;
                }
            }
        }
    }

    /// Waits until [`Inbound::datagram`] is one. There is no end but an error.
    pub(crate) fn poll_datagram(
        &mut self,
        cx: &mut Context<'_>,
        mut raw: Raw<'_>,
    ) -> Poll<Result<(), StreamError>> {
        loop {
            match self.next {
                Next::WholeDatagram => return Poll::Ready(Ok(())),
                Next::Nothing(end) => return Poll::Ready(Err(end.err().unwrap_or(StreamError::Cut))),
                _ => ready!(self.poll_step(cx, &mut raw)),
            }
        }
    }

    /// The datagram that has arrived.
    pub(crate) fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    /// Takes it, and lets the next one come.
    pub(crate) fn consume_datagram(&mut self) {
        if self.datagram.capacity() > DATAGRAM_BYTES_KEPT {
            self.datagram = Vec::new();
        }
        self.datagram.clear();
        if matches!(self.next, Next::WholeDatagram) {
            self.next = Next::Header;
        }
    }

    fn poll_arrived(&mut self, cx: &mut Context<'_>, mut raw: Raw<'_>) -> Poll<Result<bool, StreamError>> {
        loop {
            match self.next {
                Next::Data { .. } if !self.arrived().is_empty() => return Poll::Ready(Ok(true)),
                Next::Nothing(end) => return Poll::Ready(end.map(|()| false)),
                Next::WholeDatagram => {
                    return Poll::Ready(Err(StreamError::OutOfPlace(RecordKind::Datagram)));
                }
                _ => ready!(self.poll_step(cx, &mut raw)),
            }
        }
    }

    /// Data of the record that is being read.
    fn arrived(&self) -> &[u8] {
        let Next::Data { bytes_left } = self.next else { return &[] };
        let rest = self.packets.rest();
        rest.get(..bytes_left).unwrap_or(rest)
    }

    fn consume_arrived(&mut self, bytes: usize) {
        let bytes = bytes.min(self.arrived().len());
        self.pass_over(bytes);
        self.packets.consume(bytes);
    }

    /// So many bytes of a record of data are read.
    fn pass_over(&mut self, bytes: usize) {
        if let Next::Data { bytes_left } = &mut self.next {
            *bytes_left = bytes_left.saturating_sub(bytes);
            if *bytes_left == 0 {
                self.next = Next::Header;
            }
        }
    }

    /// Whether the peer's *end* has been read.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.next, Next::Nothing(Ok(()))) && self.ahead.is_empty()
    }

    /// Whether reading failed because the peer broke the protocol.
    pub(crate) fn is_violated(&self) -> bool {
        let (Next::Nothing(Err(error)), true) = (self.next, self.ahead.is_empty()) else { return false };
        matches!(error, StreamError::Record(_) | StreamError::OutOfPlace(_) | StreamError::TooEarly)
    }

    /// Gets one step further; what came of it is in `next`.
    fn poll_step(&mut self, cx: &mut Context<'_>, raw: &mut Raw<'_>) -> Poll<()> {
        let polled = self.poll_record(cx, raw);
        let (_, seat) = raw;
        // What was set aside or is half a datagram takes the memory that its credit stands for.
        if self.early.is_empty() && self.datagram.is_empty() {
            self.window.read(self.packets.take_owed(), seat);
        }
        if polled.is_pending() && self.ahead.is_empty() {
            self.window.ran_dry(seat);
        }
        polled
    }

    fn poll_record(&mut self, cx: &mut Context<'_>, (raw, seat): &mut Raw<'_>) -> Poll<()> {
        let packets = &mut self.packets;
        self.next = match self.next {
            Next::Header => match ready!(self.header.poll_fill(cx, packets, (raw, Some(seat)))) {
                Some(bytes) => self.place(bytes).unwrap_or_else(|error| Next::Nothing(Err(error))),
                None => Next::Nothing(Err(StreamError::Cut)),
            },
            Next::AbortCode => {
                let body = ready!(self.abort.poll_fill(cx, packets, (raw, Some(seat))));
                Next::Nothing(Err(
                    body.map_or(StreamError::Cut, |body| StreamError::Aborted(abort_code(body)))
                ))
            }
            Next::Data { bytes_left } => {
                if ready!(packets.poll_more(cx, raw, Some(seat))) {
                    Next::Data { bytes_left }
                } else {
                    Next::Nothing(Err(StreamError::Cut))
                }
            }
            Next::Datagram { bytes_left: 0 } | Next::WholeDatagram => Next::WholeDatagram,
            Next::Datagram { bytes_left } => {
                if ready!(packets.poll_more(cx, raw, Some(seat))) {
                    let rest = packets.rest();
                    let piece = rest.get(..bytes_left).unwrap_or(rest);
                    self.datagram.extend_from_slice(piece);
                    let bytes = piece.len();
                    packets.consume(bytes);
                    Next::Datagram { bytes_left: bytes_left.saturating_sub(bytes) }
                } else {
                    Next::Nothing(Err(StreamError::Cut))
                }
            }
            Next::Nothing(end) => Next::Nothing(end),
        };
        Poll::Ready(())
    }

    /// Whether the record has its place here, and what follows its header.
    fn place(&mut self, bytes: [u8; RECORD_HEADER_LEN]) -> Result<Next, StreamError> {
        let header = RecordHeader::decode(bytes)?;
        let is_datagrams = self.carries == Carries::Datagrams;
        let (expects, next) = match (header.kind(), self.expects) {
            (RecordKind::Abort, expects) => (expects, Next::AbortCode),
            (RecordKind::Data, expects @ Expects::Bytes(_)) if !is_datagrams => {
                (expects, Next::Data { bytes_left: header.body_len() })
            }
            (RecordKind::End, expects @ Expects::Bytes(_)) if !is_datagrams => {
                (expects, Next::Nothing(Ok(())))
            }
            (RecordKind::Datagram, expects @ Expects::Bytes(_)) if is_datagrams => {
                (expects, Next::Datagram { bytes_left: header.body_len() })
            }
            (RecordKind::Accepted, Expects::Accepted) => (Expects::Answer, Next::Header),
            (RecordKind::Dialled, Expects::Answer) => (Expects::Bytes(Answer::Dialled), Next::Header),
            (RecordKind::Refused, Expects::Answer) => not_reached(Answer::Refused),
            (RecordKind::TimedOut, Expects::Answer) => not_reached(Answer::TimedOut),
            (kind, _) => return Err(StreamError::OutOfPlace(kind)),
        };
        self.expects = expects;
        Ok(next)
    }
}

fn not_reached(answer: Answer) -> (Expects, Next) {
    (Expects::Bytes(answer), Next::Nothing(Err(StreamError::NotReached(answer))))
}
