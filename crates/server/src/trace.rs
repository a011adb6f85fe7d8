//! What is known of a stream while HTTP is spoken on it: whether the agent has its upstream, whether a byte came back,
//! and how the stream failed. HTTP's own errors do not tell these apart.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adit_domain::id::RequestId;
use adit_mux::{Answer, Grant, Stream, StreamError};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::hold::Hold;
use crate::mix::{Mix, Passing};

/// Shared by a stream and whoever asks about it.
pub(crate) struct Trace {
    hold: Arc<Hold>,
    opened_for: RequestId,
    is_dialled: AtomicBool,
    has_heard: AtomicBool,
    failed: Mutex<Option<StreamError>>,
    dialled: Notify,
    body: AtomicWaker,
    passing: Passing,
}

impl Trace {
    /// Of a stream of which nothing is known yet.
    pub(crate) fn new(hold: Arc<Hold>, mix: Arc<Mix>, opened_for: RequestId) -> Self {
        Self {
            hold,
            opened_for,
            is_dialled: AtomicBool::new(false),
            has_heard: AtomicBool::new(false),
            failed: Mutex::default(),
            dialled: Notify::new(),
            body: AtomicWaker::new(),
            passing: Passing::new(mix),
        }
    }

    /// The request whose id the agent knows the stream by: a stream that is used again keeps its first one.
    pub(crate) const fn opened_for(&self) -> RequestId {
        self.opened_for
    }

    /// Another request goes out: what is heard from here on is about that one.
    pub(crate) fn begin(&self) {
        self.has_heard.store(false, Ordering::Release);
        self.end();
    }

    /// Nothing is under way any more.
    pub(crate) fn end(&self) {
        self.passing.end();
    }

    /// Whether the agent has its upstream. From then on that may have seen what was sent.
    pub(crate) fn is_dialled(&self) -> bool {
        self.is_dialled.load(Ordering::Acquire)
    }

    /// Whether a byte came back since the request began.
    pub(crate) fn has_heard(&self) -> bool {
        self.has_heard.load(Ordering::Acquire)
    }

    /// How the stream failed, as far as it did.
    pub(crate) fn failed(&self) -> Option<StreamError> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the agent has its upstream.
    pub(crate) async fn dialled(&self) {
        let dialled = self.dialled.notified();
        if !self.is_dialled() {
            dialled.await;
        }
    }

    /// Waits until the agent has left the dial unanswered for so long; for ever if it answers before.
    pub(crate) async fn left_undialled(&self, patience: Duration) {
        if timeout(patience, self.dialled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }

    /// Wakes one body that waits for the answer. The last one to register counts.
    pub(crate) fn wake_when_dialled(&self, waker: &Waker) {
        self.body.register(waker);
    }

    /// The agent has its upstream.
    pub(crate) fn note_dialled(&self) {
        self.is_dialled.store(true, Ordering::Release);
        self.dialled.notify_waiters();
        self.body.wake();
        self.hold.upstream_answered();
    }

    fn note_failure(&self, error: StreamError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // A cut says least: what is learned beside it counts.
        if failed.is_none_or(|known| known == StreamError::Cut) {
            *failed = Some(error);
        }
    }
}

/// A stream that leaves a trace.
pub(crate) struct Traced {
    stream: Stream,
    is_dialled: bool,
    trace: Arc<Trace>,
    /// For what is held of it outside.
    _memory: Option<Grant>,
}

impl Traced {
    pub(crate) fn new(stream: Stream, trace: Arc<Trace>, memory: Option<Grant>) -> Self {
        Self { stream, is_dialled: false, trace, _memory: memory }
    }

    /// The stream, which carries from now on what nobody can foresee, and its weight, to be kept as long.
    pub(crate) fn into_carried(self) -> (Stream, Passing) {
        (self.stream, self.trace.passing.carried())
    }

    fn look(&mut self) {
        if !self.is_dialled && self.stream.answered() == Some(Answer::Dialled) {
            self.is_dialled = true;
            self.trace.note_dialled();
        }
    }

    fn wrote(&mut self, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.trace.passing.pass(*bytes);
        }
        self.looked(written)
    }

    fn looked<T>(&mut self, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        self.look();
        if let Poll::Ready(Err(error)) = &polled {
            self.trace.note_failure(StreamError::of(error).unwrap_or(StreamError::Cut));
        }
        polled
    }
}

impl AsyncRead for Traced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len().saturating_sub(before);
        if bytes > 0 {
            self.trace.has_heard.store(true, Ordering::Release);
            self.trace.passing.pass(bytes);
        }
        self.looked(read)
    }
}

impl AsyncWrite for Traced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.looked(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
