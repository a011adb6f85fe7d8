//! The one task that owns a connection.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adit_wire::record::{AbortCode, abort};
use futures::AsyncWrite as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Sleep, sleep, timeout},
};
use yamux::{ConnectionError, FrameDecodeError};

use crate::{
    bell::Bell,
    close::CloseReason,
    config::{Config, yamux_config},
    control::ControlPipe,
    credit::CreditPipe,
    gather::Gather,
    heartbeat::{Beat, Heartbeat},
    limits::{CLOSE_DEADLINE, CONTROL_OPEN_DEADLINE},
    link::Link,
    register::{CONTROL_STREAM, CREDIT_STREAM},
    session::OpenRequest,
    shared::{Known, Shared, Teardown},
    stall::Stall,
    stream::Stream,
};

/// Drives one connection; nothing moves unless [`Driver::run`] is polled. Dropping it ends the session.
#[derive(Debug)]
#[must_use = "nothing moves unless the driver runs"]
pub struct Driver<T> {
    shared: Arc<Shared>,
    connection: yamux::Connection<Link<T>>,
    link: Link<T>,
    control: ControlPipe,
    credit: CreditPipe,
    services_due: Pin<Box<Sleep>>,
    side: Side,
    heartbeat: Heartbeat,
    bell: Arc<Bell>,
    gather: Gather,
    stall: Stall,
    leaving: Option<Pin<Box<Sleep>>>,
    linger: Duration,
    // Last: whatever else drops first, everybody who waits is woken after it.
    teardown: Teardown,
}

/// What a side does with streams.
#[derive(Debug)]
pub(crate) enum Side {
    /// The server opens them.
    Server(Opening),
    /// The agent accepts them.
    Agent(mpsc::Sender<Stream>),
}

/// Callers that wait for a stream. Bounded by the gate: whoever waits holds a place, and who has gone is removed.
#[derive(Debug)]
pub(crate) struct Opening {
    requests: mpsc::Receiver<OpenRequest>,
    waiting: VecDeque<OpenRequest>,
}

impl Opening {
    pub(crate) fn new(requests: mpsc::Receiver<OpenRequest>) -> Self {
        Self { requests, waiting: VecDeque::new() }
    }

    fn collect(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(request)) = self.requests.poll_recv(cx) {
            self.waiting.push_back(request);
        }
        self.waiting.retain(|request| !request.reply.is_closed());
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Driver<T> {
    pub(crate) fn new(io: T, config: &Config, shared: Arc<Shared>, control: ControlPipe, side: Side) -> Self {
        let link = Link::new(io, Arc::clone(&shared));
        let mode = match side {
            Side::Server(_) => yamux::Mode::Server,
            Side::Agent(_) => yamux::Mode::Client,
        };
        Self {
            connection: yamux::Connection::new(link.clone(), yamux_config(), mode),
            link,
            control,
            credit: CreditPipe::default(),
            services_due: Box::pin(sleep(CONTROL_OPEN_DEADLINE)),
            side,
            heartbeat: Heartbeat::new(config.heartbeat_idle, config.heartbeat_dead),
            bell: Arc::default(),
            gather: Gather::default(),
            stall: Stall::new(config.write_stall),
            leaving: None,
            linger: config.linger,
            teardown: Teardown(Arc::clone(&shared)),
            shared,
        }
    }

    /// Moves bytes until the session ends, and says why it did. By then everybody who waited on it has been woken.
    pub async fn run(mut self) -> CloseReason {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        let is_in_order = matches!(reason, CloseReason::Asked(_));
        self.shared.close(reason);
        let Self { shared, connection, link, control, credit, side, linger, teardown, .. } = self;
        // Only dropping yamux's connection wakes whoever is parked in it; its own `poll_close` would not.
        drop((connection, control, credit, side));
        shared.register.forget(&shared.register.take_gone());
        let sent = timeout(CLOSE_DEADLINE, poll_fn(|cx| link.poll_shutdown(cx))).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("connection ended before all was sent");
        } else if is_in_order {
            let _ = timeout(linger, poll_fn(|cx| link.poll_outlast(cx))).await;
        }
        drop(teardown);
        shared.reason()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let bell = self.bell.answer(cx);
        let ring = &mut Context::from_waker(&bell);
        self.shared.register_driver(&bell);
        // Looked at before the round, which then moves all that was written before the word was given.
        let asked = self.shared.asked_to_close();
        if let Err(reason) = self.advance(ring) {
            // What arrived together with the end comes before the end.
            let _ = self.control.read(ring);
            return Poll::Ready(reason);
        }
        if self.gather.is_waiting() {
            self.bell.give_a_turn(cx);
        }
        let Some(why) = asked else { return Poll::Pending };
        let deadline = self.leaving.get_or_insert_with(|| Box::pin(sleep(CLOSE_DEADLINE)));
        let is_late = deadline.as_mut().poll(ring).is_ready();
        let is_flushed = self.control.is_drained() && self.link.is_flushed();
        // What yamux could not hand over in this round may be with it still.
        let has_refused = self.link.take_refused();
        if is_late || (is_flushed && !has_refused) {
            return Poll::Ready(CloseReason::Asked(why));
        }
        if is_flushed {
            bell.wake_by_ref();
        }
        Poll::Pending
    }

    /// One round. Everything in it registers this task, so whatever changes later starts another one.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let gone = self.shared.register.take_gone();
        self.poll_services(cx)?;
        self.poll_inbound(cx)?;
        if self.poll_opening(cx)? {
            // A stream that yamux has just made is polled by the next call below and by nothing else: without it the
            // first bytes would stay where they are.
            self.poll_inbound(cx)?;
        }
        self.forget(gone);
        self.poll_flush(cx)?;
        self.poll_heartbeat(cx)
    }

    /// Streams that were gone before this round are unknown to yamux by now, unless it could not tell the peer.
    fn forget(&self, gone: Vec<u32>) {
        if self.shared.line.is_blocked() {
            self.shared.register.keep(gone);
        } else if !gone.is_empty() {
            self.shared.register.forget(&gone);
        }
    }

    fn poll_services(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let are_attached = self.control.is_attached() && self.credit.is_attached();
        match self.side {
            _ if are_attached => {}
            Side::Agent(_) => self.poll_opening_services(cx)?,
            Side::Server(_) if self.services_due.as_mut().poll(cx).is_ready() => {
                return Err(CloseReason::Violation("no control stream or no credit stream"));
            }
            Side::Server(_) => {}
        }
        self.control.advance(cx)?;
        self.shared.register.read(CONTROL_STREAM, self.control.take_owed());
        self.credit.advance(cx, &self.shared.register)
    }

    /// Both exist for the server with their first bytes.
    fn poll_opening_services(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while !self.credit.is_attached() {
            let Poll::Ready(opened) = self.connection.poll_new_outbound(cx) else { break };
            let raw = opened.map_err(|error| self.reason_of(error))?;
            if self.control.is_attached() {
                self.credit.attach(raw);
                self.credit.greet();
            } else {
                self.control.attach(raw);
                self.control.ping();
            }
        }
        Ok(())
    }

    /// Moves frames both ways until nothing moves.
    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while let Poll::Ready(next) = self.connection.poll_next_inbound(cx) {
            match next {
                Some(Ok(raw)) => self.accept(raw)?,
                Some(Err(error)) => return Err(self.reason_of(error)),
                None => return Err(self.reason_of(ConnectionError::Closed)),
            }
        }
        Ok(())
    }

    fn accept(&mut self, raw: yamux::Stream) -> Result<(), CloseReason> {
        match (&self.side, raw.id().val()) {
            (Side::Agent(streams), _) => {
                accept_data(raw, &self.shared, streams);
                return Ok(());
            }
            (Side::Server(_), CONTROL_STREAM) => self.control.attach(raw),
            (Side::Server(_), CREDIT_STREAM) => self.credit.attach(raw),
            (Side::Server(_), _) => return Err(CloseReason::Violation("the agent opened a data stream")),
        }
        // It was polled before it had a stream.
        self.shared.wake_driver();
        Ok(())
    }

    /// Serves callers of `open`; says whether any stream was made. While the connection takes no bytes nothing is
    /// opened: yamux then does not forget dropped streams either, and new ones would pile up to its limit.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let Side::Server(opening) = &mut self.side else { return Ok(false) };
        opening.collect(cx);
        let mut has_opened = false;
        while !opening.waiting.is_empty() && !self.shared.line.is_blocked() {
            let raw = match self.connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(raw)) => raw,
                Poll::Ready(Err(error)) => return Err(self.reason_of(error)),
                Poll::Pending => break,
            };
            has_opened = true;
            self.shared.lifetime.count();
            if let Some(request) = opening.waiting.pop_front() {
                // A caller who has gone by now drops the stream, of which the agent has not heard yet.
                let known = Known::new(&self.shared, raw.id().val());
                let _ = request.reply.send((raw, known));
            }
        }
        Ok(has_opened)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        if self.gather.waits(self.link.unsent_bytes()) {
            return Ok(());
        }
        let flushed = self.link.poll_flush(cx);
        if let Poll::Ready(Err(error)) = flushed {
            return Err(CloseReason::Io(error.kind()));
        }
        if self.stall.poll(cx, self.link.bytes_sent(), flushed.is_pending()).is_ready() {
            return Err(CloseReason::Stalled);
        }
        if self.link.has_sent_go_away() {
            return Err(CloseReason::Violation("invalid use of yamux"));
        }
        Ok(())
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let received = self.link.bytes_received();
        self.shared.line.hear(received);
        match self.heartbeat.poll(cx, received) {
            Poll::Pending => Ok(()),
            Poll::Ready(Beat::Dead) => Err(CloseReason::Silent),
            Poll::Ready(Beat::Ping) => {
                self.control.ping();
                self.shared.line.ask();
                cx.waker().wake_by_ref();
                Ok(())
            }
        }
    }

    /// What was seen on the connection tells more than yamux's error.
    fn reason_of(&self, error: ConnectionError) -> CloseReason {
        self.link.verdict().unwrap_or(match error {
            ConnectionError::Io(error) | ConnectionError::Decode(FrameDecodeError::Io(error)) => {
                CloseReason::Io(error.kind())
            }
            ConnectionError::NoMoreStreamIds => CloseReason::IdsUsedUp,
            ConnectionError::Closed => CloseReason::PeerLeft,
            _ => CloseReason::Violation("invalid yamux frame"),
        })
    }
}

/// Takes a stream, or gives it up where there is no room for it: yamux's own limit would end the connection.
fn accept_data(mut raw: yamux::Stream, shared: &Arc<Shared>, streams: &mpsc::Sender<Stream>) {
    let known = Known::new(shared, raw.id().val());
    let room = shared.enter().zip(streams.try_reserve().ok());
    if let Some((place, slot)) = room {
        if let Ok(stream) = Stream::accept(raw, known.seat(place)) {
            slot.send(stream);
        }
        return;
    }
    tracing::warn!("more streams than agreed, or no memory for them, or nobody takes them");
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let _ = Pin::new(&mut raw).poll_write(&mut cx, &abort(AbortCode::Limit));
    drop((raw, known));
}
