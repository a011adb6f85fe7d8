//! What HTTP may hold of one exchange besides what its stream does: for a visitor who does not read, and for an upstream
//! that does not.

use adit_web::limits::{BUFFER_BYTES_MAX, H2_SEND_BUFFER_BYTES_MAX, H2_STREAM_WINDOW_BYTES};
use http::Version;
use http_body::Body;

/// Bytes between an upstream over HTTP/2 and whoever reads its response: its window, and what is on its way out.
pub(super) const HTTP2_UPSTREAM_BYTES: usize = WINDOW_BYTES + H2_SEND_BUFFER_BYTES_MAX;

const WINDOW_BYTES: usize = H2_STREAM_WINDOW_BYTES as usize;

/// Of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    version: Version,
    /// What may come of its body before anybody reads it.
    unread_bytes: usize,
}

impl Memory {
    /// Of a request with this body. Over HTTP/2 as much of it comes as its window lets, read or not; over HTTP/1 what
    /// comes stays in the connection's one buffer.
    pub(super) fn of(version: Version, body: &impl Body) -> Self {
        let most = if version == Version::HTTP_2 { WINDOW_BYTES } else { 0 };
        let length = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        Self { version, unread_bytes: length.map_or(most, |bytes| bytes.min(most)) }
    }

    /// While it waits for an agent.
    pub(super) const fn waiting(self) -> usize {
        self.unread_bytes
    }

    /// While it is served: what is on its way to the visitor too, and what was read of an upstream over HTTP/1. One over
    /// HTTP/2 holds [`HTTP2_UPSTREAM_BYTES`] besides.
    pub(super) fn served(self) -> usize {
        let outgoing =
            if self.version == Version::HTTP_2 { H2_SEND_BUFFER_BYTES_MAX } else { BUFFER_BYTES_MAX };
        BUFFER_BYTES_MAX.saturating_add(outgoing).saturating_add(self.unread_bytes)
    }
}

#[cfg(test)]
mod tests {
    use http::Version;
    use http_body_util::{Empty, Full, StreamBody};

    use super::{Memory, WINDOW_BYTES};

    #[test]
    fn a_body_over_http2_may_fill_its_window() {
        let full = |bytes: usize| Full::new(bytes::Bytes::from(vec![0; bytes]));
        for (bytes, unread) in [
            (1, 1),
            (WINDOW_BYTES - 1, WINDOW_BYTES - 1),
            (WINDOW_BYTES, WINDOW_BYTES),
            (WINDOW_BYTES + 1, WINDOW_BYTES),
        ] {
            assert_eq!(Memory::of(Version::HTTP_2, &full(bytes)).waiting(), unread);
            assert_eq!(Memory::of(Version::HTTP_11, &full(bytes)).waiting(), 0);
        }
        let without_length =
            StreamBody::new(futures::stream::empty::<Result<http_body::Frame<bytes::Bytes>, ()>>());
        assert_eq!(Memory::of(Version::HTTP_2, &without_length).waiting(), WINDOW_BYTES);
        let nothing = Empty::<bytes::Bytes>::new();
        assert_eq!(Memory::of(Version::HTTP_2, &nothing).waiting(), 0);
        let more =
            Memory::of(Version::HTTP_2, &full(9)).served() - Memory::of(Version::HTTP_2, &nothing).served();
        assert_eq!(more, 9);
    }
}
