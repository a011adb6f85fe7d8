//! Header values of what can be shown.

use std::fmt::Display;
use std::io::Write as _;

use http::HeaderValue;

/// Room for what most values are: a host name with its port, an address, an id.
const USUAL_BYTES: usize = 272;

/// `shown` as a header value, in one allocation where it is not long; `None` if a header cannot hold it.
pub(crate) fn value(shown: impl Display) -> Option<HeaderValue> {
    let mut usual = [0; USUAL_BYTES];
    let mut rest = usual.as_mut_slice();
    if write!(rest, "{shown}").is_err() {
        return HeaderValue::try_from(shown.to_string()).ok();
    }
    let left = rest.len();
    let bytes = usual.get(..USUAL_BYTES.saturating_sub(left)).unwrap_or_default();
    HeaderValue::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{USUAL_BYTES, value};

    #[test]
    fn whatever_its_length() {
        for bytes in [0, 1, USUAL_BYTES - 1, USUAL_BYTES, USUAL_BYTES + 1] {
            let text = "a".repeat(bytes);
            assert_eq!(
                value(&text).as_ref().map(http::HeaderValue::as_bytes),
                Some(text.as_bytes()),
                "{bytes}"
            );
        }
        assert_eq!(value("a\nb"), None);
        assert_eq!(value("a\n".repeat(USUAL_BYTES)), None);
    }
}
