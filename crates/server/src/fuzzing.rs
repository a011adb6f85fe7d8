//! What the fuzz targets reach of this crate. The feature is theirs alone.

use http::HeaderMap;

use crate::{metering, sticky};

/// Takes our cookie out of a request; whether it had the form of a member's mark.
pub fn sticky(headers: &mut HeaderMap) -> bool {
    sticky::take(headers).is_some()
}

/// Reads a file of usage, and writes it again.
#[must_use]
pub fn usage(text: &str) -> Option<String> {
    metering::written_again(text)
}
