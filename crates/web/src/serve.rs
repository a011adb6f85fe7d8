//! One connection served: HTTP/1.1 or HTTP/2 as ALPN said, never guessed from the first bytes.
//!
//! hyper reads and writes the messages; this module adds what hyper leaves to its user: a deadline for a
//! head that trickles, an idle time apart from it, a cut for a peer that takes no bytes, and a refusal of
//! requests whose length two readers could understand differently.

mod activity;
mod ahead;
mod flight;
mod http1;
mod http2;
mod interlude;
mod io;
mod linger;
mod own;
mod scan;
mod stalled;
mod watch;

pub use crate::service::Work;
pub use http1::http1;
pub use http2::http2;

/// Why a connection did not end in peace.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The peer sent no complete head (or HTTP/2 preface) in time.
    #[error("no complete request head in time")]
    HeadDeadline,
    /// An HTTP/2 peer sent more frames that carry nothing than it may.
    #[error("flood of http/2 frames")]
    Flood,
    /// The peer ended its side and took nothing for a while.
    #[error("the peer has ended its side, and takes nothing")]
    Gone,
    /// HTTP broke: malformed, too large, cut, reset, or the peer took no bytes in time.
    #[error("http connection failed")]
    Http(#[source] hyper::Error),
}

#[cfg(test)]
mod tests;
