//! The header with which a node opens a data stream.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use adit_domain::id::{EndpointId, RequestId};
use adit_domain::{EndpointKind, Epoch};
use bincode::{Decode, Encode};
use thiserror::Error;

use crate::fixed;

/// Length of a [`StreamHeader`] in bytes.
pub const STREAM_HEADER_LEN: usize = 64;

/// The version of the stream header that this crate speaks.
pub const STREAM_HEADER_VERSION: u8 = 1;

/// What the bytes of a stream are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamKind {
    /// HTTP/1.1 requests, one after the other.
    Http,
    /// The bytes of one TCP connection.
    Tcp,
    /// The bytes of one TLS connection that the node does not terminate.
    Tls,
    /// One flow: the datagrams of one visitor's address and port, and the answers to it.
    Udp,
}

impl StreamKind {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Http => 1,
            Self::Tcp => 2,
            Self::Tls => 3,
            Self::Udp => 4,
        }
    }

    /// The kind with this number, if this version knows one.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Http),
            2 => Some(Self::Tcp),
            3 => Some(Self::Tls),
            4 => Some(Self::Udp),
            _ => None,
        }
    }
}

impl From<EndpointKind> for StreamKind {
    /// What the streams of such an endpoint carry.
    fn from(kind: EndpointKind) -> Self {
        match kind {
            EndpointKind::Http => Self::Http,
            EndpointKind::Tcp => Self::Tcp,
            EndpointKind::Tls => Self::Tls,
            EndpointKind::Udp => Self::Udp,
        }
    }
}

/// The first bytes of every data stream, from the node to the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamHeader {
    /// The layout of this header; [`STREAM_HEADER_VERSION`].
    pub version: u8,
    /// What the bytes after the header are.
    pub kind: StreamKind,
    /// Hints that a receiver may ignore. None is defined: 0 is sent.
    pub flags: u16,
    /// The endpoint that the visitor reached.
    pub endpoint: EndpointId,
    /// The binding of that endpoint for which the stream is meant. An agent that holds another one refuses it.
    pub epoch: Epoch,
    /// The visitor's request, as in logs and in the answer's `adit-request-id`. A reused stream keeps its first one.
    pub request: RequestId,
    /// Where the visitor's connection came from.
    pub visitor: SocketAddr,
}

/// Why bytes are not a stream header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StreamHeaderError {
    /// A layout of another version.
    #[error("stream header has version {0}")]
    Version(u8),
    /// The reserved byte is not zero.
    #[error("stream header has a reserved byte that is not zero")]
    Reserved,
    /// A kind without a meaning in this version.
    #[error("stream header has the unknown kind {0}")]
    Kind(u16),
    /// The block does not decode at all.
    #[error("stream header is malformed")]
    Malformed,
}

#[derive(Encode, Decode)]
struct Block {
    version: u8,
    reserved: u8,
    kind: u16,
    flags: u16,
    visitor_port: u16,
    endpoint: [u8; 16],
    epoch: u64,
    request: [u8; 16],
    visitor_address: [u8; 16],
}

impl StreamHeader {
    /// The bytes of this header. Of the visitor's address only IP address and port travel.
    #[must_use]
    pub fn encode(&self) -> [u8; STREAM_HEADER_LEN] {
        let address = match self.visitor.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        fixed::encode(&Block {
            version: self.version,
            reserved: 0,
            kind: self.kind.code(),
            flags: self.flags,
            visitor_port: self.visitor.port(),
            endpoint: self.endpoint.to_bytes(),
            epoch: self.epoch.0,
            request: self.request.to_bytes(),
            visitor_address: address.octets(),
        })
    }

    /// The header in these bytes. An IPv4 address that was mapped into IPv6 comes out as IPv4.
    ///
    /// # Errors
    /// Says which field has no meaning in this version.
    pub fn decode(bytes: &[u8; STREAM_HEADER_LEN]) -> Result<Self, StreamHeaderError> {
        let block: Block = fixed::decode(bytes).ok_or(StreamHeaderError::Malformed)?;
        if block.version != STREAM_HEADER_VERSION {
            return Err(StreamHeaderError::Version(block.version));
        }
        if block.reserved != 0 {
            return Err(StreamHeaderError::Reserved);
        }
        let kind = StreamKind::from_code(block.kind).ok_or(StreamHeaderError::Kind(block.kind))?;
        let address = Ipv6Addr::from(block.visitor_address).to_canonical();
        Ok(Self {
            version: block.version,
            kind,
            flags: block.flags,
            endpoint: EndpointId::from_bytes(block.endpoint),
            epoch: Epoch(block.epoch),
            request: RequestId::from_bytes(block.request),
            visitor: SocketAddr::new(address, block.visitor_port),
        })
    }
}
