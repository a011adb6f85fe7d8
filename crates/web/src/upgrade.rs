//! Leaving HTTP/1.1 for another protocol on the same connection (RFC 9110 section 7.8).

mod carried;
mod patient;
mod tie;
mod websocket;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Version};

use crate::tokens;
pub use carried::Carried;
pub use patient::Patient;
pub use tie::Tie;
pub use websocket::{Handshake, NoWebSocket};

/// The protocols that a visitor asks to change to, as the value to forward. `None` if nothing is asked for, if
/// the version knows no upgrade, or if only HTTP/2 was offered: that is never entered this way.
#[must_use]
pub fn requested(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let nominated = tokens::of(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    if version != Version::HTTP_11 || !nominated {
        return None;
    }
    let carried: Vec<_> = tokens::of(headers, &UPGRADE).filter(|token| !is_http(token)).collect();
    if carried.is_empty() {
        return None;
    }
    HeaderValue::try_from(carried.join(", ")).ok()
}

/// Whether a 101 response changes to something that was asked for.
#[must_use]
pub fn accepted(asked: &HeaderValue, response: &HeaderMap) -> bool {
    let mut chosen = tokens::of(response, &UPGRADE).peekable();
    let known = |token: &str| tokens::of_value(asked).any(|offer| offer.eq_ignore_ascii_case(token));
    chosen.peek().is_some() && chosen.all(known)
}

fn is_http(token: &str) -> bool {
    let name = token.split('/').next().unwrap_or_default();
    ["h2c", "h2", "http"].iter().any(|http| name.eq_ignore_ascii_case(http))
}

#[cfg(test)]
mod tests;
