//! The control stream as the driver sees it: bytes to frames, queues, heartbeats.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use adit_wire::control::{Decoder, Frame, encode};
use futures::AsyncWrite as _;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::{close::CloseReason, limits::CONTROL_UNSENT_BYTES_MAX, stream::Packets};

/// Polled by the driver only. Before the stream exists it queues.
#[derive(Debug)]
pub(crate) struct ControlPipe {
    raw: Option<yamux::Stream>,
    packets: Packets,
    decoder: Decoder,
    outbox: mpsc::Receiver<Vec<u8>>,
    inbox: PollSender<Box<Frame>>,
    undelivered: Option<Box<Frame>>,
    unsent: Vec<u8>,
    sent: usize,
    pings: u64,
}

impl ControlPipe {
    pub(crate) fn new(outbox: mpsc::Receiver<Vec<u8>>, inbox: mpsc::Sender<Box<Frame>>) -> Self {
        Self {
            raw: None,
            packets: Packets::default(),
            decoder: Decoder::new(),
            outbox,
            inbox: PollSender::new(inbox),
            undelivered: None,
            unsent: Vec::new(),
            sent: 0,
            pings: 0,
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.raw.is_some()
    }

    pub(crate) fn attach(&mut self, raw: yamux::Stream) {
        self.raw = Some(raw);
    }

    /// Whether all that was queued has been given to yamux.
    pub(crate) fn is_drained(&self) -> bool {
        self.raw.is_none() || (self.outbox.is_empty() && self.unsent.is_empty())
    }

    /// Queues a ping, unless so much is unsent that the peer has enough to answer.
    pub(crate) fn ping(&mut self) {
        self.pings = self.pings.wrapping_add(1);
        if self.has_room() {
            self.queue(&Frame::Ping { nonce: self.pings });
        }
    }

    /// Moves frames both ways as far as it goes without waiting.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        self.write(cx);
        let read = self.read(cx);
        self.write(cx);
        read
    }

    /// What has been read since this was asked last, counted like credit.
    pub(crate) fn take_owed(&mut self) -> usize {
        self.packets.take_owed()
    }

    /// Hands out what has arrived, up to the bound of the queue.
    pub(crate) fn read(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while self.has_room() && self.deliver(cx) {
            match self.decoder.next().map_err(CloseReason::ControlInvalid)? {
                Some(Frame::Ping { nonce }) => self.queue(&Frame::Pong { nonce }),
                Some(Frame::Pong { .. }) => {}
                Some(frame) => self.undelivered = Some(Box::new(frame)),
                None => {
                    if self.receive(cx)?.is_pending() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether nothing waits for the owner.
    fn deliver(&mut self, cx: &mut Context<'_>) -> bool {
        if self.undelivered.is_none() {
            return true;
        }
        match self.inbox.poll_reserve(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                if let Some(frame) = self.undelivered.take() {
                    let _ = self.inbox.send_item(frame);
                }
            }
            // The owner has dropped its half: frames are thrown away.
            Poll::Ready(Err(_)) => self.undelivered = None,
        }
        true
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, CloseReason> {
        let Some(raw) = &mut self.raw else { return Ok(Poll::Pending) };
        match self.packets.poll_more(cx, raw, None) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(false) => Err(CloseReason::Violation("control stream ended")),
            Poll::Ready(true) => {
                let taken = self.decoder.push(self.packets.rest());
                self.packets.consume(taken);
                Ok(Poll::Ready(()))
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let Some(raw) = &mut self.raw else { return };
        loop {
            while self.unsent.len().saturating_sub(self.sent) < CONTROL_UNSENT_BYTES_MAX {
                let Poll::Ready(Some(frame)) = self.outbox.poll_recv(cx) else { break };
                self.unsent.extend_from_slice(&frame);
            }
            let rest = self.unsent.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                self.unsent = Vec::new();
                self.sent = 0;
                return;
            }
            // An error here is the end of the stream, which reading finds too.
            let Poll::Ready(Ok(written)) = Pin::new(&mut *raw).poll_write(cx, rest) else { break };
            self.sent = self.sent.saturating_add(written);
        }
        self.unsent.drain(..self.sent);
        self.sent = 0;
    }

    fn has_room(&self) -> bool {
        self.unsent.len() < CONTROL_UNSENT_BYTES_MAX
    }

    fn queue(&mut self, frame: &Frame) {
        let encoded = encode(frame, &mut self.unsent);
        debug_assert!(encoded.is_ok(), "heartbeats have no text");
    }
}
