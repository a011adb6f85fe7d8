//! Endpoints: durable public addresses, and the number that fences who serves them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What visitors speak to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// HTTP/1.1 and HTTP/2, routed by authority.
    Http,
    /// The bytes of TCP connections, on a public port of the endpoint's own.
    Tcp,
    /// The bytes of TLS connections, found by the host name in their handshake. Only the agent's side has the key.
    Tls,
    /// UDP datagrams, on a public port of the endpoint's own.
    Udp,
}

impl EndpointKind {
    /// The kind as the wire and storage write it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Http => 1,
            Self::Tcp => 2,
            Self::Tls => 3,
            Self::Udp => 4,
        }
    }

    /// The kind with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Http),
            2 => Some(Self::Tcp),
            3 => Some(Self::Tls),
            4 => Some(Self::Udp),
            _ => None,
        }
    }

    /// Whether visitors find such an endpoint by a public port of its own.
    #[must_use]
    pub const fn has_port(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }
}

impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        })
    }
}

/// What the upstream of an HTTP endpoint speaks, and so the node to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1, in the clear or over TLS.
    #[default]
    Http1,
    /// HTTP/2 in the clear, from the first byte on (RFC 9113, section 3.3).
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

impl UpstreamProtocol {
    /// The protocol as the wire writes it.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Http1 => 1,
            Self::H2c => 2,
            Self::H2 => 3,
        }
    }

    /// The protocol with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Http1),
            2 => Some(Self::H2c),
            3 => Some(Self::H2),
            _ => None,
        }
    }
}

/// The growing number of an endpoint's holder: whoever holds an older one has been replaced.
///
/// Zero is held by nobody; an agent that asks with zero asks to take over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of an endpoint that nobody has held yet.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
