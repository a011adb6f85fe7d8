//! A second, strict reader of response heads. It never says yes in hyper's place, only no.
//!
//! hyper takes a bare LF as a line's end and drops one length where another stands beside it. Nothing of that can be
//! seen after parsing, and whoever reads the same bytes otherwise would see another response.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::line::{Line, decimal};

/// What is known of the responses on one connection; shared by its transport and its sender.
#[derive(Clone)]
pub(super) struct Heads(Arc<Mutex<State>>);

struct State {
    phase: Phase,
    line: Line,
    interim: bool,
    lengths: u32,
    codings: u32,
    strict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No head is awaited: what comes is a body, or another protocol.
    Unread,
    /// The first line of a head.
    Status,
    Fields,
    /// The final head has been read whole.
    Whole,
}

impl Heads {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            phase: Phase::Unread,
            line: Line::new(),
            interim: false,
            lengths: 0,
            codings: 0,
            strict: true,
        })))
    }

    /// From here on what comes is the head of a response.
    pub(super) fn expect(&self) {
        let mut state = self.state();
        state.begin();
        state.strict = true;
    }

    /// Whether the head since [`Heads::expect`] came whole, and can be read in one way only.
    pub(super) fn is_strict(&self) -> bool {
        let state = self.state();
        state.phase == Phase::Whole && state.strict
    }

    /// Whether what came since [`Heads::expect`] can be read in one way only.
    pub(super) fn is_strict_so_far(&self) -> bool {
        self.state().strict
    }

    fn feed(&self, bytes: &[u8]) {
        self.state().feed(bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self) {
        self.phase = Phase::Status;
        self.line = Line::new();
        self.interim = false;
        self.lengths = 0;
        self.codings = 0;
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while matches!(self.phase, Phase::Status | Phase::Fields) {
            let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
                return self.line.push(bytes);
            };
            let (text, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            self.line.push(text);
            self.end_line();
            self.line = Line::new();
            bytes = rest.get(1..).unwrap_or_default();
        }
    }

    fn end_line(&mut self) {
        self.strict &= self.line.ends_with_cr();
        match self.phase {
            Phase::Status => {
                // hyper skips empty lines here.
                self.strict &= !self.line.is_empty();
                let code = self.line.text().get(9..12).unwrap_or_default();
                self.interim = code.starts_with(b"1") && code != b"101";
                self.phase = Phase::Fields;
            }
            Phase::Fields if self.line.is_empty() => self.end_head(),
            Phase::Fields => self.field(),
            Phase::Unread | Phase::Whole => {}
        }
    }

    fn field(&mut self) {
        if let Some(value) = self.line.value_of(b"transfer-encoding:") {
            self.strict &= value.trim_ascii() == b"chunked";
            self.codings = self.codings.saturating_add(1);
        } else if let Some(value) = self.line.value_of(b"content-length:") {
            self.strict &= !self.line.is_cut() && decimal(value.trim_ascii()).is_some();
            self.lengths = self.lengths.saturating_add(1);
        }
    }

    fn end_head(&mut self) {
        self.strict &= self.lengths.saturating_add(self.codings) <= 1;
        if self.interim {
            self.begin();
        } else {
            self.phase = Phase::Whole;
        }
    }
}

/// A transport whose incoming bytes are read along.
pub(super) struct ReadAlong<I> {
    io: I,
    heads: Heads,
}

impl<I> ReadAlong<I> {
    pub(super) fn new(io: I, heads: Heads) -> Self {
        Self { io, heads }
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for ReadAlong<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.heads.feed(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for ReadAlong<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
