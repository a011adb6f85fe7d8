//! A bounded look at a TLS `ClientHello` before anything answers it: who is asked for, and in which protocol.
//!
//! The hello is put together again across TCP segments and TLS records, as browsers split post-quantum hellos over
//! both. Whatever was read is read again by whoever takes the connection: the TLS stack, or an upstream that
//! terminates TLS itself. With Encrypted Client Hello only the outer name is visible.

mod assemble;
mod parse;

use std::io;

use adit_domain::Hostname;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use crate::io::Replay;
use crate::limits::{HELLO_BYTES_MAX, HELLO_READ_BYTES};
use assemble::Assembly;
pub use parse::Protocols;

/// What a client asks for before TLS begins (RFC 8446, section 4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The host name asked for (RFC 6066, section 3). None if there was none, or it was not a host name.
    pub server_name: Option<Hostname>,
    /// The protocols offered (RFC 7301, section 3.1).
    pub protocols: Protocols,
}

/// Why a connection did not begin with a usable `ClientHello`.
#[derive(Debug, Error)]
pub enum HelloError {
    /// The first bytes are not TLS: plain HTTP, a port scanner, another protocol.
    #[error("the connection does not begin with a TLS handshake")]
    NotTls,
    /// TLS, but the `ClientHello` breaks its rules.
    #[error("the ClientHello is malformed")]
    Malformed,
    /// More than [`HELLO_BYTES_MAX`] bytes.
    #[error("the ClientHello is larger than {HELLO_BYTES_MAX} bytes")]
    TooLarge,
    /// The connection ended before the hello did.
    #[error("the connection ended before its ClientHello did")]
    Closed,
    /// The hello was not whole in time.
    #[error("the ClientHello did not arrive in time")]
    Deadline,
    /// The connection failed.
    #[error("reading the ClientHello failed")]
    Io(#[from] io::Error),
}

/// Reads until a whole `ClientHello` is there, at most [`HELLO_BYTES_MAX`] bytes and not after `deadline`. The returned
/// connection begins with the first byte again.
///
/// # Errors
/// What came was not a usable `ClientHello`, or not in time. The connection is closed.
pub async fn peek<T>(stream: T, deadline: Instant) -> Result<(ClientHello, Replay<T>), HelloError>
where
    T: AsyncRead + Unpin,
{
    timeout_at(deadline, read(stream)).await.map_err(|_elapsed| HelloError::Deadline)?
}

async fn read<T: AsyncRead + Unpin>(mut stream: T) -> Result<(ClientHello, Replay<T>), HelloError> {
    let mut assembly = Assembly::default();
    loop {
        let room = assembly.room(HELLO_READ_BYTES, HELLO_BYTES_MAX);
        if room == 0 {
            return Err(HelloError::TooLarge);
        }
        let mut limited = (&mut stream).take(u64::try_from(room).unwrap_or(u64::MAX));
        if limited.read_buf(assembly.received()).await? == 0 {
            return Err(HelloError::Closed);
        }
        if let Some(hello) = assembly.advance(HELLO_BYTES_MAX)? {
            let hello = parse::client_hello(hello).ok_or(HelloError::Malformed)?;
            return Ok((hello, Replay::new(assembly.into_received(), stream)));
        }
    }
}

#[cfg(test)]
mod tests;
