//! Texts in a frame's body: `length u16`, then so many bytes.

use adit_domain::Hostname;

use super::EncodeError;
use super::body_error::BodyError;
use crate::limits::{
    HOST_HEADER_BYTES_MAX, HOSTNAME_BYTES_MAX, LABEL_BYTES_MAX, MESSAGE_BYTES_MAX, URL_BYTES_MAX,
};

/// One field that is a text: its name, its bound, and which characters it may have.
pub(super) struct TextField {
    name: &'static str,
    bytes_max: usize,
    allowed: fn(char) -> bool,
}

/// The host name of an endpoint; empty where there is none.
pub(super) const HOSTNAME: TextField =
    TextField { name: "host name", bytes_max: HOSTNAME_BYTES_MAX, allowed: is_visible };
/// What the agent calls an upstream.
pub(super) const LABEL: TextField =
    TextField { name: "label", bytes_max: LABEL_BYTES_MAX, allowed: is_no_control };
/// The `Host` for an upstream; empty where the visitor's stays.
pub(super) const HOST_HEADER: TextField =
    TextField { name: "host header", bytes_max: HOST_HEADER_BYTES_MAX, allowed: is_visible };
/// The public URL of an endpoint.
pub(super) const URL: TextField = TextField { name: "url", bytes_max: URL_BYTES_MAX, allowed: is_visible };
/// A sentence for people. It reaches their terminals, hence no control characters.
pub(super) const MESSAGE: TextField =
    TextField { name: "message", bytes_max: MESSAGE_BYTES_MAX, allowed: is_no_control };

fn is_visible(character: char) -> bool {
    character.is_ascii_graphic()
}

fn is_no_control(character: char) -> bool {
    !character.is_control()
}

impl TextField {
    /// Appends the text with its length in front.
    pub(super) fn encode(&self, text: &str, body: &mut Vec<u8>) -> Result<(), EncodeError> {
        let too_long = EncodeError::TooLong { field: self.name, bytes_max: self.bytes_max };
        if text.len() > self.bytes_max {
            return Err(too_long);
        }
        if !text.chars().all(self.allowed) {
            return Err(EncodeError::Character { field: self.name });
        }
        let len = u16::try_from(text.len()).map_err(|_| too_long)?;
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Takes the text from the start of `bytes`; answers with what follows it.
    pub(super) fn decode<'a>(&self, bytes: &'a [u8]) -> Result<(&'a str, &'a [u8]), BodyError> {
        let (len, rest) = bytes.split_first_chunk().ok_or(BodyError::Short)?;
        let len = usize::from(u16::from_le_bytes(*len));
        if len > self.bytes_max {
            return Err(BodyError::TooLong(self.name));
        }
        let (text, rest) = rest.split_at_checked(len).ok_or(BodyError::Short)?;
        let text = std::str::from_utf8(text).map_err(|_| BodyError::Character(self.name))?;
        if !text.chars().all(self.allowed) {
            return Err(BodyError::Character(self.name));
        }
        Ok((text, rest))
    }
}

/// A host name in canonical form: each name has one spelling on the wire.
pub(super) fn hostname(text: &str) -> Result<Hostname, BodyError> {
    Hostname::parse(text).ok().filter(|name| name.as_str() == text).ok_or(BodyError::Hostname)
}
