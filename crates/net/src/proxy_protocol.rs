//! The PROXY protocol: who connected, told in front of a connection's first byte. Written towards upstreams that want it,
//! and read from load balancers that stand before the node and are trusted.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod checksum;
mod decode;
mod encode;
mod read;

pub use decode::{HeaderError, Progress, Source, decode};
pub use encode::{header, without_visitor};
pub use read::{ReadError, read};

/// How the header is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyVersion {
    /// One line of text (section 2.1).
    V1,
    /// Binary (section 2.2).
    V2,
}

/// The first bytes of every header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
