//! Frames of data that have been looked at before the one in front of them was passed on, for one write of them all.

use std::{collections::VecDeque, io::IoSlice};

use crate::{limits::FRAMES_PASSED_ON_MAX, register::frame_cost};

/// Bodies of frames that hold nothing but data to their ends, in order.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    pieces: VecDeque<Piece>,
}

/// The rest of a body.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) packet: yamux::Packet,
    pub(crate) read: usize,
}

impl Piece {
    fn rest(&self) -> &[u8] {
        self.packet.as_ref().get(self.read..).unwrap_or_default()
    }
}

impl Ahead {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether another one would be one too many beside what is read in place.
    pub(crate) fn is_full(&self) -> bool {
        self.pieces.len().saturating_add(1) >= FRAMES_PASSED_ON_MAX
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.pieces.push_back(piece);
    }

    pub(crate) fn first(&self) -> &[u8] {
        self.pieces.front().map(Piece::rest).unwrap_or_default()
    }

    /// Fills `slices` from the front on, and says how many of them.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled =
            slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| *slice = IoSlice::new(piece.rest()));
        filled.count()
    }

    /// Takes bytes from the front: how many were here, and what the frames cost that have come to their ends.
    pub(crate) fn consume(&mut self, bytes: usize) -> (usize, usize) {
        let (mut left, mut cost) = (bytes, 0_usize);
        while let Some(front) = self.pieces.front_mut() {
            let taken = left.min(front.rest().len());
            front.read = front.read.saturating_add(taken);
            left = left.saturating_sub(taken);
            if !front.rest().is_empty() {
                break;
            }
            cost = cost.saturating_add(frame_cost(front.packet.as_ref().len()));
            self.pieces.pop_front();
        }
        (bytes.saturating_sub(left), cost)
    }
}
