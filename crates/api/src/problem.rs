//! Errors of the API as programs read them.

use serde::{Deserialize, Serialize};

use crate::Code;

/// A problem document (RFC 9457, section 3), sent as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:adit:error:ADIT-nnnn`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, the same words for every occurrence.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What to do about it.
    pub detail: String,
    /// `ADIT-nnnn`, as in the `adit-error` header.
    pub code: String,
    /// Whose side it is on: `visitor`, `owner` (of the endpoint) or `adit`. Empty where the sender does not say.
    #[serde(default)]
    pub side: String,
    /// The request's id, as in the `adit-request-id` header.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

impl Problem {
    /// The problem that `code` stands for.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            kind: format!("urn:adit:error:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: code.advice().to_owned(),
            code: code.to_string(),
            side: code.side().word().to_owned(),
            request_id: None,
        }
    }
}
