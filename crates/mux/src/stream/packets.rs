//! Bytes as yamux hands them out: whole frame bodies, read in place.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream as _;

use crate::{register::frame_cost, shared::Seat, stream::ahead::Piece};

/// The frame body that is being read.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    packet: Option<yamux::Packet>,
    read: usize,
    owed: usize,
}

impl Packets {
    /// Waits until [`Packets::rest`] is not empty. `false`: nothing will come any more.
    pub(crate) fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        raw: &mut yamux::Stream,
        seat: Option<&Seat>,
    ) -> Poll<bool> {
        if let Some(seat) = seat.filter(|_| self.rest().is_empty()) {
            seat.parked().reader.register(cx.waker());
        }
        while self.rest().is_empty() {
            // What was seen before the end is in yamux's buffer by now, so the end is looked at before the buffer.
            let severed = seat.is_some_and(Seat::is_severed);
            let next = match Pin::new(&mut *raw).poll_next(cx) {
                Poll::Pending if severed => return Poll::Ready(false),
                Poll::Pending if seat.is_some_and(Seat::is_severed) => continue,
                // The connection ended between two looks of yamux at it. It fails then, and not once more, before it has
                // given out what it holds.
                Poll::Ready(Some(Err(_))) => ready!(Pin::new(&mut *raw).poll_next(cx)),
                next => ready!(next),
            };
            let Some(Ok(packet)) = next else { return Poll::Ready(false) };
            self.packet = Some(packet);
            self.read = 0;
            self.release();
        }
        Poll::Ready(true)
    }

    pub(crate) fn rest(&self) -> &[u8] {
        let bytes = self.packet.as_ref().map(AsRef::as_ref).unwrap_or_default();
        bytes.get(self.read..).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes);
        self.release();
    }

    /// The frame body that is being read, taken out.
    pub(crate) fn take(&mut self) -> Option<Piece> {
        let packet = self.packet.take()?;
        Some(Piece { packet, read: std::mem::take(&mut self.read) })
    }

    /// Frames that were taken out have been read to their ends.
    pub(crate) fn owe(&mut self, cost: usize) {
        self.owed = self.owed.saturating_add(cost);
    }

    /// What the frames cost that have been read to their ends since this was asked last.
    pub(crate) fn take_owed(&mut self) -> usize {
        std::mem::take(&mut self.owed)
    }

    fn release(&mut self) {
        if self.rest().is_empty()
            && let Some(packet) = self.packet.take()
        {
            self.owed = self.owed.saturating_add(frame_cost(packet.as_ref().len()));
            self.read = 0;
        }
    }
}

/// A block of fixed length that arrives in pieces.
#[derive(Debug)]
pub(crate) struct Block<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Block<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], filled: 0 }
    }

    /// The block once it is whole; the next call starts another one. `None`: the stream ended before.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        packets: &mut Packets,
        (raw, seat): (&mut yamux::Stream, Option<&Seat>),
    ) -> Poll<Option<[u8; N]>> {
        while self.filled < N {
            if !ready!(packets.poll_more(cx, raw, seat)) {
                return Poll::Ready(None);
            }
            let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
            let taken = room.len().min(packets.rest().len());
            for (place, byte) in room.iter_mut().zip(packets.rest()) {
                *place = *byte;
            }
            self.filled = self.filled.saturating_add(taken);
            packets.consume(taken);
        }
        self.filled = 0;
        Poll::Ready(Some(self.bytes))
    }
}

impl<const N: usize> Default for Block<N> {
    fn default() -> Self {
        Self::new()
    }
}
