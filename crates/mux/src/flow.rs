//! Moves datagrams between a stream and a socket, both ways, in one task.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use adit_wire::record::AbortCode;
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    limits::DATAGRAMS_IN_A_ROW,
    stream::{Answer, DatagramIo, FromIoError, Stream, StreamError},
};

/// How long a flow may be silent, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowIdle {
    /// While nothing came from the socket after something went to it: a question and its answer.
    pub question: Duration,
    /// From then on: a conversation.
    pub conversation: Duration,
}

impl FlowIdle {
    /// The same for both.
    #[must_use]
    pub const fn of(idle: Duration) -> Self {
        Self { question: idle, conversation: idle }
    }
}

/// How a flow ended. A flow has no end in good order: UDP has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowEnd {
    /// It was silent for too long.
    Idle,
    /// The stream or its connection ended without a word.
    Cut,
    /// The peer gave the stream up.
    Aborted(AbortCode),
    /// The agent has no way to its upstream.
    NotReached(Answer),
    /// The peer broke the protocol of the stream.
    Violation(StreamError),
    /// The socket gives nothing any more.
    Broken(io::ErrorKind),
}

/// One flow: a stream of datagrams, and the socket that they belong to.
#[derive(Debug)]
pub struct Flow<I> {
    stream: Stream,
    io: I,
    is_reached: bool,
    has_sent: bool,
    is_conversation: bool,
    last: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Whether a direction has more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

impl<I: DatagramIo> Flow<I> {
    /// A flow on a stream of kind *udp*; an agent has answered it.
    pub fn new(stream: Stream, io: I) -> Self {
        let (is_reached, has_sent, is_conversation) = (false, false, false);
        Self { stream, io, is_reached, has_sent, is_conversation, last: Instant::now(), timer: None }
    }

    /// The socket.
    pub fn io(&mut self) -> &mut I {
        &mut self.io
    }

    /// Moves datagrams until the flow ends, or has been silent for as long as `idle` allows. Cancel safe.
    pub async fn run(&mut self, idle: FlowIdle) -> FlowEnd {
        poll_fn(|cx| self.poll(cx, idle)).await
    }

    /// Ends the flow, and tells the peer why if that is possible without waiting.
    pub fn abort(self, code: AbortCode) {
        self.stream.abort(code);
    }

    fn poll(&mut self, cx: &mut Context<'_>, idle: FlowIdle) -> Poll<FlowEnd> {
        match self.step(cx) {
            Err(end) => Poll::Ready(end),
            Ok(More::No) => self.poll_idle(cx, idle),
            Ok(More::Yes) => {
                // Others have their turn first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Result<More, FlowEnd> {
        let to_io = self.poll_to_io(cx)?;
        if !self.is_reached && self.stream.answered() == Some(Answer::Dialled) {
            self.is_reached = true;
            self.io.reached();
        }
        let both = [to_io, self.poll_to_stream(cx)?];
        if self.stream.poll_severed(cx).is_ready() {
            // What came before that is still there.
            let rest = self.poll_to_io(cx)?;
            return if rest == More::Yes { Ok(rest) } else { Err(FlowEnd::Cut) };
        }
        Ok(if both.contains(&More::Yes) { More::Yes } else { More::No })
    }

    fn poll_to_io(&mut self, cx: &mut Context<'_>) -> Result<More, FlowEnd> {
        for _ in 0..DATAGRAMS_IN_A_ROW {
            match self.stream.poll_datagram(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(end_of(error)),
                Poll::Pending => return Ok(More::No),
            }
            if self.io.poll_send(cx, self.stream.datagram()).is_pending() {
                return Ok(More::No);
            }
            self.stream.consume_datagram();
            self.has_sent = true;
            self.last = Instant::now();
        }
        Ok(More::Yes)
    }

    fn poll_to_stream(&mut self, cx: &mut Context<'_>) -> Result<More, FlowEnd> {
        for _ in 0..DATAGRAMS_IN_A_ROW {
            match self.stream.poll_send_from(cx, &mut self.io) {
                Poll::Ready(Ok(())) => {
                    self.is_conversation |= self.has_sent;
                    self.last = Instant::now();
                }
                Poll::Ready(Err(FromIoError::Io(error))) => return Err(FlowEnd::Broken(error.kind())),
                Poll::Ready(Err(FromIoError::Stream(error))) => return Err(self.failed_to_write(cx, error)),
                Poll::Pending => return Ok(More::No),
            }
        }
        Ok(More::Yes)
    }

    /// What the reading half knows of the reason is more than what writing found.
    fn failed_to_write(&mut self, cx: &mut Context<'_>, error: StreamError) -> FlowEnd {
        while let Poll::Ready(heard) = self.stream.poll_datagram(cx) {
            match heard {
                Ok(()) => self.stream.consume_datagram(),
                Err(reason) => return end_of(reason),
            }
        }
        end_of(error)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>, idle: FlowIdle) -> Poll<FlowEnd> {
        let allowed = if self.is_conversation { idle.conversation } else { idle.question };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(allowed)));
        let end = self.last.checked_add(allowed).unwrap_or(self.last);
        // It is set anew when it has fired, not with every datagram; only an earlier end cannot wait for that.
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= end {
                return Poll::Ready(FlowEnd::Idle);
            }
            timer.as_mut().reset(end);
        }
    }
}

fn end_of(error: StreamError) -> FlowEnd {
    match error {
        StreamError::Cut => FlowEnd::Cut,
        StreamError::Aborted(code) => FlowEnd::Aborted(code),
        StreamError::NotReached(answer) => FlowEnd::NotReached(answer),
        other => FlowEnd::Violation(other),
    }
}
