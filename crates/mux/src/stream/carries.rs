//! Bytes, or datagrams.

use adit_wire::stream::StreamKind;

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Bytes,
    Datagrams,
}

impl Carries {
    pub(crate) const fn of(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Udp => Self::Datagrams,
            StreamKind::Http | StreamKind::Tcp | StreamKind::Tls => Self::Bytes,
        }
    }
}
