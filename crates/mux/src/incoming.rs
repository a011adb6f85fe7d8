//! The accepting side of a session: the agent's.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adit_wire::{
    record::AbortCode,
    stream::{STREAM_HEADER_LEN, StreamHeader},
};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use crate::{
    close::Closed,
    shared::Shared,
    stream::{Block, Stream},
};

/// A stream that the server opened, already told that it was accepted. [`Stream::send_answer`] comes next.
#[derive(Debug)]
pub struct Arrival {
    /// What the stream is for.
    pub header: StreamHeader,
    /// The stream.
    pub stream: Stream,
}

/// Streams as they arrive. Dropping it makes the session refuse every further one.
#[derive(Debug)]
pub struct Incoming {
    shared: Arc<Shared>,
    streams: mpsc::Receiver<Stream>,
    headerless: FuturesUnordered<Headerless>,
    header_deadline: Duration,
}

impl Incoming {
    pub(crate) fn new(
        shared: Arc<Shared>,
        streams: mpsc::Receiver<Stream>,
        header_deadline: Duration,
    ) -> Self {
        Self { shared, streams, headerless: FuturesUnordered::new(), header_deadline }
    }

    /// The next stream with its header; `None` once the session has ended. Cancel-safe. A stream that shows no valid
    /// header in time is dropped here. As many wait for theirs as the session has streams.
    pub async fn next(&mut self) -> Option<Arrival> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        while let Poll::Ready(Some(arrival)) = self.headerless.poll_next_unpin(cx) {
            if arrival.is_some() {
                return Poll::Ready(arrival);
            }
        }
        loop {
            match self.streams.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(stream)) => {
                    let mut waiting = Headerless::new(stream, self.header_deadline);
                    match Pin::new(&mut waiting).poll(cx) {
                        Poll::Ready(None) => {}
                        Poll::Ready(arrival) => return Poll::Ready(arrival),
                        // It has just registered this task; the set will ask it again when that is woken.
                        Poll::Pending => self.headerless.push(waiting),
                    }
                }
            }
        }
    }

    /// Streams that are open on this side.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.shared.streams()
    }

    /// Tells when the session has ended, and why.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.shared.closed()
    }

    /// Ends the session, see [`crate::Session::close`].
    pub fn close(&self, why: &'static str) {
        self.shared.ask_to_close(why);
    }
}

/// A stream whose header is not whole yet.
#[derive(Debug)]
struct Headerless {
    stream: Option<Stream>,
    block: Block<STREAM_HEADER_LEN>,
    deadline: Pin<Box<Sleep>>,
}

impl Headerless {
    fn new(stream: Stream, deadline: Duration) -> Self {
        Self { stream: Some(stream), block: Block::new(), deadline: Box::pin(sleep(deadline)) }
    }
}

impl Future for Headerless {
    type Output = Option<Arrival>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let bytes = match stream.poll_header(cx, &mut this.block) {
            Poll::Ready(Ok(bytes)) => bytes,
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Pending if this.deadline.as_mut().poll(cx).is_pending() => return Poll::Pending,
            Poll::Pending => {
                give_up(this.stream.take(), AbortCode::Idle);
                return Poll::Ready(None);
            }
        };
        let stream = this.stream.take();
        match StreamHeader::decode(&bytes) {
            Ok(header) => Poll::Ready(stream.map(|mut stream| {
                stream.carry(header.kind);
                Arrival { header, stream }
            })),
            Err(error) => {
                tracing::warn!(%error, "stream with an invalid header");
                give_up(stream, AbortCode::Protocol);
                Poll::Ready(None)
            }
        }
    }
}

fn give_up(stream: Option<Stream>, code: AbortCode) {
    if let Some(stream) = stream {
        stream.abort(code);
    }
}
