//! hyper answers a head that it cannot parse by itself: a status and nothing else. Its bytes are exchanged for an answer
//! with a code, so that no refusal of this node is without one.

use adit_api::Code;
use adit_domain::id::RequestId;
use http::{HeaderMap, HeaderValue, header};

use crate::answer::{self, ADIT_REQUEST_ID};

/// An answer that goes out in place of hyper's.
pub(super) struct Own {
    text: Vec<u8>,
    written: usize,
    /// How many of hyper's bytes it stands for.
    stands_for: usize,
}

impl Own {
    /// The answer in place of `bytes`, if they are hyper's own refusal of a head. Only hyper's has no request id.
    pub(super) fn in_place_of(bytes: &[u8]) -> Option<Self> {
        let code = match bytes.strip_prefix(b"HTTP/1.1 ")?.get(..4)? {
            b"400 " => Code::BadRequest,
            b"414 " => Code::TargetTooLong,
            b"431 " => Code::HeadTooLarge,
            _ => return None,
        };
        let is_ours = bytes
            .windows(ADIT_REQUEST_ID.as_str().len())
            .any(|name| name == ADIT_REQUEST_ID.as_str().as_bytes());
        if is_ours || !bytes.ends_with(b"\r\n\r\n") {
            return None;
        }
        Some(Self { text: written(code), written: 0, stands_for: bytes.len() })
    }

    /// What is still to be written.
    pub(super) fn left(&self) -> &[u8] {
        self.text.get(self.written..).unwrap_or_default()
    }

    /// So many bytes more were written. Says how many of hyper's that makes when it was the last.
    pub(super) fn advance(&mut self, bytes: usize) -> Option<usize> {
        self.written = self.written.saturating_add(bytes);
        self.left().is_empty().then_some(self.stands_for)
    }
}

/// The whole message. Nothing is known of what its reader prefers.
fn written(code: Code) -> Vec<u8> {
    let (mut head, body) = answer::parts(code, RequestId::new(), &HeaderMap::new());
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(piece);
        }
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(body.as_bytes());
    text
}
