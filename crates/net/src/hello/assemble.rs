//! Puts a handshake message together from TLS records (RFC 8446, section 5.1), each byte looked at once.

use super::HelloError;

/// `ContentType.handshake`.
const HANDSHAKE: u8 = 22;
/// `HandshakeType.client_hello`.
const CLIENT_HELLO: u8 = 1;
/// Every version of TLS writes 3 as the first byte of the record's version.
const VERSION_MAJOR: u8 = 3;
const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
/// Largest plaintext of a record.
const FRAGMENT_BYTES_MAX: usize = 16 * 1024;

/// What was received, and the handshake message that its records carry.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    received: Vec<u8>,
    /// Where in `received` the next record begins.
    record_at: usize,
    message: Vec<u8>,
}

impl Assembly {
    /// Makes room for the next read: at most `step` bytes, and never more than `cap` in all. 0 when there is none left.
    pub(super) fn room(&mut self, step: usize, cap: usize) -> usize {
        let room = cap.saturating_sub(self.received.len()).min(step);
        self.received.reserve_exact(room);
        room
    }

    /// Where the next bytes go.
    pub(super) const fn received(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    pub(super) fn into_received(self) -> Vec<u8> {
        self.received
    }

    /// Takes in the records that are whole. The body of the `ClientHello` once that is; an error as soon as what was
    /// received cannot become one within `cap` bytes.
    pub(super) fn advance(&mut self, cap: usize) -> Result<Option<&[u8]>, HelloError> {
        while self.take_record(cap)? {}
        let Some((header, body)) = self.message.split_first_chunk::<MESSAGE_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = body_length(*header, cap)?;
        Ok(body.get(..length))
    }

    /// Whether one more record was whole and was taken.
    fn take_record(&mut self, cap: usize) -> Result<bool, HelloError> {
        if self.is_whole(cap)? {
            return Ok(false);
        }
        let rest = self.received.get(self.record_at..).unwrap_or_default();
        self.check_start(rest)?;
        let Some((header, after)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(false);
        };
        let [.., high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > FRAGMENT_BYTES_MAX {
            return Err(HelloError::Malformed);
        }
        let end = self.record_at.saturating_add(RECORD_HEADER_BYTES).saturating_add(length);
        if end > cap {
            return Err(HelloError::TooLarge);
        }
        let Some(fragment) = after.get(..length) else {
            return Ok(false);
        };
        self.message.extend_from_slice(fragment);
        self.record_at = end;
        Ok(true)
    }

    /// Tells what is not TLS from its first bytes, without waiting for a whole record.
    const fn check_start(&self, record: &[u8]) -> Result<(), HelloError> {
        match record {
            [] | [HANDSHAKE] | [HANDSHAKE, VERSION_MAJOR, ..] => Ok(()),
            _ if self.record_at == 0 => Err(HelloError::NotTls),
            _ => Err(HelloError::Malformed),
        }
    }

    /// Whether the message is complete: what follows it is none of our business.
    fn is_whole(&self, cap: usize) -> Result<bool, HelloError> {
        match self.message.split_first_chunk::<MESSAGE_HEADER_BYTES>() {
            Some((header, body)) => Ok(body.len() >= body_length(*header, cap)?),
            None => Ok(false),
        }
    }
}

fn body_length(header: [u8; MESSAGE_HEADER_BYTES], cap: usize) -> Result<usize, HelloError> {
    let [kind, high, middle, low] = header;
    if kind != CLIENT_HELLO {
        return Err(HelloError::Malformed);
    }
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
    if length > cap { Err(HelloError::TooLarge) } else { Ok(length) }
}
