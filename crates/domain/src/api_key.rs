//! API keys: the long-lived secret that a person copies.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::Secret;
use crate::limits::API_KEY_SECRET_BYTES;

const PREFIX: &str = "adit_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Base62 digits that hold 32 bytes (43 digits hold 256.03 bits).
const SECRET_DIGITS: usize = 43;
/// Base62 digits that hold a CRC-32 (6 digits hold 35.7 bits).
const CHECKSUM_DIGITS: usize = 6;

/// An API key: `adit_`, 32 random bytes in base62, and a checksum that tells a typing error from a wrong key and lets
/// scanners recognise a leaked one.
///
/// It is shown once, when it is made. Storage keeps a [`KeyHash`].
#[derive(Clone)]
pub struct ApiKey {
    text: Secret<String>,
}

/// Why a text is not an API key. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiKeyError {
    /// It does not start with `adit_`.
    #[error("an API key starts with `adit_`")]
    Prefix,
    /// It has the wrong number of characters.
    #[error("an API key has 54 characters")]
    Length,
    /// It has a character outside `0-9A-Za-z` after the prefix.
    #[error("an API key has only letters and digits after `adit_`")]
    Character,
    /// The checksum does not fit: a character was lost or changed when it was copied.
    #[error("the API key's checksum does not fit: a character was lost or changed when it was copied")]
    Checksum,
}

impl ApiKey {
    /// A fresh key from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; API_KEY_SECRET_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; API_KEY_SECRET_BYTES]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + SECRET_DIGITS + CHECKSUM_DIGITS);
        text.push_str(PREFIX);
        push_base62(&mut text, bytes, SECRET_DIGITS);
        let checksum = crc32(text.as_bytes()).to_be_bytes();
        push_base62(&mut text, &checksum, CHECKSUM_DIGITS);
        Self { text: Secret::new(text) }
    }

    /// Parses a key; white space around it is dropped, since it was copied by a person.
    ///
    /// # Errors
    /// Says what is wrong with the text without repeating it.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        let digits = text.strip_prefix(PREFIX).ok_or(ApiKeyError::Prefix)?;
        if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(ApiKeyError::Character);
        }
        if digits.len() != SECRET_DIGITS + CHECKSUM_DIGITS {
            return Err(ApiKeyError::Length);
        }
        let (body, given) = text.split_at_checked(PREFIX.len() + SECRET_DIGITS).ok_or(ApiKeyError::Length)?;
        let mut expected = String::with_capacity(CHECKSUM_DIGITS);
        push_base62(&mut expected, &crc32(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS);
        if given != expected {
            return Err(ApiKeyError::Checksum);
        }
        Ok(Self { text: Secret::new(text.to_owned()) })
    }

    /// The whole key, to show it once, to send it, or to hash it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The last four characters, by which a person recognises a key in a list.
    #[must_use]
    pub fn last4(&self) -> &str {
        let text = self.text.expose();
        text.get(text.len().saturating_sub(4)..).unwrap_or_default()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// SHA-256 of a whole API key. The key has 256 random bits, so a slow password hash would add nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// Appends `bytes`, read as one big-endian number, in exactly `digits` base62 digits.
fn push_base62(text: &mut String, bytes: &[u8], digits: usize) {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut reversed = Zeroizing::new(Vec::with_capacity(digits));
    for _ in 0..digits {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        reversed.push(ALPHABET.get(remainder as usize).copied().unwrap_or(b'0'));
    }
    text.extend(reversed.iter().rev().map(|&digit| char::from(digit)));
}

/// CRC-32 as in ISO-HDLC (polynomial 0xEDB88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{ApiKey, ApiKeyError, crc32};

    #[test]
    fn crc_of_the_standard_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn known_keys() {
        let zeros = ApiKey::from_bytes(&[0; 32]);
        assert!(zeros.expose().starts_with(&format!("adit_{}", "0".repeat(43))));
        assert_eq!(zeros.expose().len(), 54);
        let ones = ApiKey::from_bytes(&[0xff; 32]);
        assert_eq!(ApiKey::parse(ones.expose()).unwrap().expose(), ones.expose());
    }

    #[test]
    fn any_single_changed_character_is_noticed() {
        let key = ApiKey::generate().unwrap();
        let text = key.expose();
        for at in 5..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(ApiKey::parse(&changed).unwrap_err(), ApiKeyError::Checksum, "at {at}");
        }
    }

    #[test]
    fn what_is_not_a_key() {
        let key = ApiKey::generate().unwrap();
        let text = key.expose();
        assert_eq!(ApiKey::parse("").unwrap_err(), ApiKeyError::Prefix);
        assert_eq!(ApiKey::parse("xyz").unwrap_err(), ApiKeyError::Prefix);
        assert_eq!(ApiKey::parse(&text[..53]).unwrap_err(), ApiKeyError::Length);
        assert_eq!(ApiKey::parse(&format!("{text}0")).unwrap_err(), ApiKeyError::Length);
        assert_eq!(ApiKey::parse(&text.replace("adit_", "adit_é")).unwrap_err(), ApiKeyError::Character);
        assert!(ApiKey::parse(&format!("  {text}\r\n")).is_ok());
        assert_eq!(key.last4(), &text[50..]);
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }
}
