//! Which shape of an answer a request prefers (RFC 9110 section 12.5.1).

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue};

/// The shapes that an answer comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Page,
    Problem,
    Text,
}

impl Shape {
    /// The best of the named types; the first one where several are as good. Who takes anything is a program,
    /// unless it is one of the tools that people read with their own eyes.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let mut best: Option<(u16, Self)> = None;
        for range in
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','))
        {
            let (range, weight) = weighed(range);
            let Some(shape) = Self::of(range) else { continue };
            if weight > best.map_or(0, |(weight, _)| weight) {
                best = Some((weight, shape));
            }
        }
        match best {
            Some((_, shape)) => shape,
            None if is_terminal_tool(headers.get(USER_AGENT)) => Self::Text,
            None => Self::Problem,
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Page => "text/html; charset=utf-8",
            Self::Problem => "application/problem+json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    fn of(range: &str) -> Option<Self> {
        let range = range.to_ascii_lowercase();
        match range.as_str() {
            "text/html" | "application/xhtml+xml" => Some(Self::Page),
            "application/json" => Some(Self::Problem),
            "text/plain" | "text/*" => Some(Self::Text),
            other if other.ends_with("+json") => Some(Self::Problem),
            _ => None,
        }
    }
}

/// A media range and its weight in thousandths; a weight that is none counts as 1.
fn weighed(member: &str) -> (&str, u16) {
    let mut parts = member.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (range, weight.map_or(1000, thousandths))
}

/// `0`, `0.5`, `1.000` and the like.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if whole != "0" {
        return 1000;
    }
    let digits = fraction.bytes().chain([b'0'; 3]).take(3);
    digits.fold(0_u16, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u16::from(digit.saturating_sub(b'0').min(9)))
    })
}

fn is_terminal_tool(agent: Option<&HeaderValue>) -> bool {
    let agent = agent.map_or(&b""[..], HeaderValue::as_bytes);
    [&b"curl/"[..], b"Wget/", b"HTTPie/"].iter().any(|tool| agent.starts_with(tool))
}
