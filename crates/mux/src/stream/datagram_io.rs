//! The socket of a flow of datagrams.

use std::{
    io,
    task::{Context, Poll},
};

/// Where the datagrams of one flow come from and go to.
pub trait DatagramIo {
    /// Appends the next datagram for the stream to `datagram`, which is not empty; at most
    /// [`DATAGRAM_BYTES_MAX`](adit_wire::limits::DATAGRAM_BYTES_MAX) bytes. It is asked for one when all before it are on
    /// their way.
    ///
    /// # Errors
    /// None will come any more.
    fn poll_recv(&mut self, cx: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>>;

    /// Sends a datagram of the stream, or drops it: UDP promises nothing. Called again with the same one while pending.
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<()>;

    /// The agent can send to its upstream. Told once.
    fn reached(&mut self) {}
}
