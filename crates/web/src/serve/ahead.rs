//! What is read ahead of hyper, to see whether the peer is still there.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// At most one byte: a peer that sends more is there, and the bytes wait in the kernel.
#[derive(Default)]
pub(super) enum Ahead {
    #[default]
    Nothing,
    Byte(u8),
    /// The peer has ended its side.
    End,
}

impl Ahead {
    /// Looks for what comes next, unless that is known. Says whether it is the end.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn look<I: AsyncRead + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Result<bool> {
        if matches!(self, Self::Nothing) {
            let mut byte = [0];
            let mut buf = ReadBuf::new(&mut byte);
            if let Poll::Ready(read) = Pin::new(io).poll_read(cx, &mut buf) {
                read?;
                *self = buf.filled().first().map_or(Self::End, |byte| Self::Byte(*byte));
            }
        }
        Ok(matches!(self, Self::End))
    }

    /// Whether something is known of what comes next.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Reads what was read ahead; false if that is nothing.
    pub(super) fn take(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        match *self {
            Self::Nothing => false,
            Self::Byte(byte) => {
                if buf.remaining() > 0 {
                    buf.put_slice(&[byte]);
                    *self = Self::Nothing;
                }
                true
            }
            Self::End => true,
        }
    }
}
