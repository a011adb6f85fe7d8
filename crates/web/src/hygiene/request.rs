//! A visitor's request made ready for the upstream.

use std::fmt::Display;
use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use http_body::Body;

use super::{drop_nominated, drop_where, fields};
use crate::authority::RequestAuthority;
use crate::value::value;
use crate::{tokens, upgrade};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What this node knows about a request's way to it, for the upstream to read.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The visitor's address, as the transport says.
    pub visitor: IpAddr,
    /// How the visitor came.
    pub scheme: Scheme,
    /// Whom the visitor asked for.
    pub authority: RequestAuthority,
}

/// The scheme of the URL that the visitor used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that goes without saying.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Turns a visitor's request into the HTTP/1.1 request for the upstream: origin-form target, `Host` as the
/// visitor wrote it, no field of the visitor's own connection, no claim about where it came from but ours, and
/// a length that follows from the body itself.
///
/// Returns the protocols to which the visitor asks to change, see [`upgrade::requested`].
///
/// Call it once per request, with the body that is going to be sent.
pub fn request<B: Body>(request: &mut Request<B>, forwarded: &Forwarded) -> Option<HeaderValue> {
    let asked = upgrade::requested(request.headers(), request.version());
    let takes_trailers =
        tokens::of(request.headers(), &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let body_bytes = request.body().size_hint().exact();
    host(request, &forwarded.authority);
    let headers = request.headers_mut();
    drop_nominated(headers);
    drop_where(headers, |name| {
        fields::is_one_hop(name)
            || fields::is_identity(name)
            || fields::is_ours(name)
            || fields::is_shadow_of_framing(name)
    });
    join_cookies(headers);
    length(headers, body_bytes);
    connection(headers, asked.as_ref(), takes_trailers);
    stamp(headers, forwarded);
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = origin_form(request.uri());
    asked
}

/// HTTP/2 and absolute-form requests may come without `Host`.
fn host<B>(request: &mut Request<B>, authority: &RequestAuthority) {
    if request.headers().contains_key(HOST) {
        return;
    }
    let written = request.uri().authority().map(|authority| authority.as_str().to_owned());
    match written {
        Some(written) => set(request.headers_mut(), HOST, written),
        None => set(request.headers_mut(), HOST, authority),
    }
}

/// HTTP/2 may split the cookies over several fields; HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) {
        let mut joined = first.as_bytes().to_vec();
        for crumb in headers.get_all(COOKIE).iter().skip(1) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(crumb.as_bytes());
        }
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// States the length once, as the body knows it. hyper would leave out the body of a GET without a statement.
fn length(headers: &mut HeaderMap, body_bytes: Option<u64>) {
    let stated = headers.remove(CONTENT_LENGTH).is_some();
    match body_bytes {
        Some(0) if !stated => {}
        Some(bytes) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        None => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

fn connection(headers: &mut HeaderMap, asked: Option<&HeaderValue>, takes_trailers: bool) {
    let options = match (asked, takes_trailers) {
        (None, false) => return,
        (None, true) => "te",
        (Some(_), false) => "upgrade",
        (Some(_), true) => "upgrade, te",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
    if let Some(asked) = asked {
        headers.insert(UPGRADE, asked.clone());
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn stamp(headers: &mut HeaderMap, forwarded: &Forwarded) {
    let authority = &forwarded.authority;
    let port = authority.port.unwrap_or(forwarded.scheme.default_port());
    set(headers, X_FORWARDED_FOR, forwarded.visitor.to_canonical());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(forwarded.scheme.as_str()));
    set(headers, X_FORWARDED_HOST, authority);
    set(headers, X_FORWARDED_PORT, port);
}

/// Sets a field to a text of which only visible ASCII is known to come.
fn set(headers: &mut HeaderMap, name: HeaderName, shown: impl Display) {
    if let Some(value) = value(shown) {
        headers.insert(name, value);
    }
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}
