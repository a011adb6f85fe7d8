//! Header fields kept clean on both ways: what belongs to one hop stays there, and nobody outside speaks in
//! this node's name (RFC 9110 section 7.6.1, RFC 9113 section 8.2).

mod fields;
mod location;
mod request;
mod response;

use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName};

use crate::tokens;
pub use location::location;
pub use request::{Forwarded, Scheme, request};
pub use response::{ResponseFault, response};

/// Drops from trailers what a reader that merges them into the head could mistake for this node's word, and
/// what decides about framing or routing (RFC 9110 section 6.5.1).
pub fn trailers(trailers: &mut HeaderMap) {
    drop_where(trailers, |name| {
        fields::is_one_hop(name)
            || fields::is_ours(name)
            || fields::is_identity(name)
            || fields::is_framing(name)
    });
}

/// Drops every field whose name `unwanted` picks. Costs nothing where there is none.
fn drop_where(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Drops the fields that `Connection` names. It cannot name those that a request cannot do without.
fn drop_nominated(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = tokens::of(headers, &CONNECTION)
        .filter_map(|token| HeaderName::try_from(token).ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
