//! An upstream's response made ready for the visitor.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use super::{drop_nominated, drop_where, fields};
use crate::upgrade;

/// Why a response is not passed on. The connection to the upstream must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// Its length is stated in two ways, or in one that is not understood (RFC 9112 section 6.3).
    #[error("response's length is ambiguous")]
    FramingAmbiguous,
    /// It changes to a protocol that was not asked for (RFC 9110 section 7.8).
    #[error("response changes to a protocol that was not asked for")]
    UpgradeUnasked,
}

/// Turns an upstream's response into one for the visitor: no field of the upstream's own connection, none that
/// only Adit sets. `asked` is what [`super::request`] returned for the request.
///
/// # Errors
/// [`ResponseFault`]: answer 502 instead, and close the connection to the upstream.
pub fn response<B>(response: &mut Response<B>, asked: Option<&HeaderValue>) -> Result<(), ResponseFault> {
    check_length(response.headers())?;
    let status = response.status();
    let chosen = match status {
        StatusCode::SWITCHING_PROTOCOLS => Some(chosen(response.headers(), asked)?),
        _ => None,
    };
    let headers = response.headers_mut();
    drop_nominated(headers);
    drop_where(headers, |name| {
        fields::is_one_hop(name) || fields::is_ours(name) || fields::is_shadow_of_framing(name)
    });
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    }
    if let Some(chosen) = chosen {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, chosen);
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(())
}

fn check_length(headers: &HeaderMap) -> Result<(), ResponseFault> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), codings.next(), lengths.next(), lengths.next()) {
        (None, None, _, None) => Ok(()),
        (Some(coding), None, None, None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ResponseFault::FramingAmbiguous),
    }
}

fn chosen(headers: &HeaderMap, asked: Option<&HeaderValue>) -> Result<HeaderValue, ResponseFault> {
    match (asked, headers.get(UPGRADE)) {
        (Some(asked), Some(chosen)) if upgrade::accepted(asked, headers) => Ok(chosen.clone()),
        _ => Err(ResponseFault::UpgradeUnasked),
    }
}
