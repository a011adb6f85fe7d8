//! The credit stream as the driver sees it: entries in, entries out, never behind anybody's data.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use adit_wire::credit::{CREDIT_LEN, Credit};
use futures::AsyncWrite as _;

use crate::{
    close::CloseReason,
    limits::CREDIT_UNSENT_BYTES_MAX,
    register::{CREDIT_STREAM, Register},
    stream::{Block, Packets},
};

/// Polled by the driver only. Before the stream exists nothing is told.
#[derive(Debug, Default)]
pub(crate) struct CreditPipe {
    raw: Option<yamux::Stream>,
    packets: Packets,
    entry: Block<CREDIT_LEN>,
    unsent: Vec<u8>,
}

impl CreditPipe {
    pub(crate) fn is_attached(&self) -> bool {
        self.raw.is_some()
    }

    pub(crate) fn attach(&mut self, raw: yamux::Stream) {
        self.raw = Some(raw);
    }

    /// Announces the stream: it exists for the server with its first bytes.
    pub(crate) fn greet(&mut self) {
        self.unsent.extend_from_slice(&Credit::HELLO.encode());
    }

    /// Moves entries both ways as far as it goes without waiting.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>, register: &Register) -> Result<(), CloseReason> {
        let Some(raw) = &mut self.raw else { return Ok(()) };
        while let Poll::Ready(entry) = self.entry.poll_fill(cx, &mut self.packets, (&mut *raw, None)) {
            let entry = entry.ok_or(CloseReason::Violation("credit stream ended"))?;
            register.hear(Credit::decode(entry));
        }
        register.read(CREDIT_STREAM, self.packets.take_owed());
        self.write(cx, register);
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>, register: &Register) {
        let Some(raw) = &mut self.raw else { return };
        loop {
            while self.unsent.len() < CREDIT_UNSENT_BYTES_MAX {
                let Some(credits) = register.next_due() else { break };
                credits.iter().flatten().for_each(|credit| self.unsent.extend_from_slice(&credit.encode()));
            }
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
                return;
            }
            // An error here is the end of the stream, which reading finds too.
            let Poll::Ready(Ok(written)) = Pin::new(&mut *raw).poll_write(cx, &self.unsent) else { return };
            self.unsent.drain(..written);
        }
    }
}
