//! Comma-separated lists of tokens, as `Connection`, `Upgrade` and `TE` carry them (RFC 9110 section 5.6.1).

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

/// The members of all fields of this name, without what follows a `;`. A field that is no text has none.
pub(crate) fn of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().flat_map(of_value)
}

/// The members of one field.
pub(crate) fn of_value(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let members = value.to_str().unwrap_or_default().split(',');
    members
        .map(|member| member.split(';').next().unwrap_or_default().trim())
        .filter(|member| !member.is_empty())
}
