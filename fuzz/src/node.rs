//! What a node reads beside connections.

use adit_server::fuzzing;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The fields of a visitor, one in a line, lose our cookie and nothing else, and have none after it.
pub fn sticky(data: &[u8]) {
    let values =
        data.split(|byte| *byte == b'\n').take(64).filter_map(|line| HeaderValue::from_bytes(line).ok());
    let mut headers: HeaderMap = values.map(|value| (COOKIE, value)).collect();
    let before = crumbs(&headers);
    let was_a_mark = fuzzing::sticky(&mut headers);
    let (ours, others): (Vec<_>, Vec<_>) =
        before.into_iter().partition(|crumb| crumb.starts_with(b"adit-sticky="));
    let left = crumbs(&headers);
    let empty =
        |crumbs: Vec<Vec<u8>>| crumbs.into_iter().filter(|crumb| !crumb.is_empty()).collect::<Vec<_>>();
    assert_eq!(empty(left), empty(others), "others' cookies are changed");
    assert!(!was_a_mark || !ours.is_empty(), "a mark that nobody showed");
    assert!(!fuzzing::sticky(&mut headers), "a mark is left");
}

/// The pairs in the fields, without the white space around them.
fn crumbs(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let fields = headers.get_all(COOKIE).iter();
    fields
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
        .map(|c| c.trim_ascii().to_vec())
        .collect()
}

/// A file of usage that is understood is understood the same when it is written again.
pub fn usage(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(written) = fuzzing::usage(text) else { return };
    assert_eq!(fuzzing::usage(&written).as_ref(), Some(&written));
}
