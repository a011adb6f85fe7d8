//! The one typed authority of a request: parsed once, read by routing, authorisation, logging and metering.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_domain::Hostname;
use http::header::{EXPECT, HOST};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, Method, Uri, Version};

use crate::limits::TARGET_BYTES_MAX;
use crate::reject::Reject;

/// Whom a request is for: host and, where the visitor wrote one, port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestAuthority {
    /// The host, canonical.
    pub host: Host,
    /// The port as written; `None` stands for the scheme's own.
    pub port: Option<u16>,
}

/// A name, or an address literal. Addresses never name an endpoint, but they are well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name in canonical form.
    Name(Hostname),
    /// An IPv4 or (in brackets) IPv6 literal; a mapped IPv4 address is an IPv4 address.
    Address(IpAddr),
}

impl RequestAuthority {
    /// Reads the authority of a request, and refuses one that two readers could understand differently:
    /// exactly one `Host` in HTTP/1.1, which agrees with an absolute-form target (RFC 9112 section 3.2) or
    /// with `:authority` (RFC 9113 section 8.3.1).
    ///
    /// # Errors
    /// A [`Reject`] that says what is wrong; also for methods and expectations that are never served.
    pub fn of(parts: &Parts) -> Result<Self, Reject> {
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(Reject::MethodNotServed);
        }
        expectation(&parts.headers)?;
        if target_bytes(&parts.uri) > TARGET_BYTES_MAX {
            return Err(Reject::TargetTooLong);
        }
        let field = host_field(&parts.headers)?;
        let target = target_authority(&parts.uri)?;
        // Asking about the server as a whole is for OPTIONS alone (RFC 9112 section 3.2.4).
        if parts.method != Method::OPTIONS && !parts.uri.path().starts_with('/') {
            return Err(Reject::TargetMalformed);
        }
        match (target, field) {
            (Some(target), Some(field)) if agree(&target, &field, &parts.uri) => Ok(target),
            (Some(_), Some(_)) => Err(Reject::HostContradicts),
            (None, Some(field)) => Ok(field),
            (Some(target), None) if parts.version != Version::HTTP_11 => Ok(target),
            (_, None) => Err(Reject::HostMissing),
        }
    }

    /// Parses `host[:port]` as it stands in `Host` and `:authority` (RFC 3986 section 3.2, without userinfo).
    ///
    /// # Errors
    /// [`Reject::HostMissing`] for an empty text, [`Reject::HostMalformed`] for anything else that is wrong.
    pub fn parse(text: &str) -> Result<Self, Reject> {
        if text.is_empty() {
            return Err(Reject::HostMissing);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (literal, after) = rest.split_once(']').ok_or(Reject::HostMalformed)?;
            let address: Ipv6Addr = literal.parse().map_err(|_| Reject::HostMalformed)?;
            let port = match after {
                "" => None,
                after => Some(parse_port(after.strip_prefix(':').ok_or(Reject::HostMalformed)?)?),
            };
            return Ok(Self { host: Host::Address(IpAddr::V6(address).to_canonical()), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        Ok(Self { host: parse_host(host)?, port })
    }

    /// The host's name, if it is one.
    #[must_use]
    pub fn hostname(&self) -> Option<&Hostname> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for RequestAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn expectation(headers: &HeaderMap) -> Result<(), Reject> {
    let known = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) { Ok(()) } else { Err(Reject::ExpectationUnknown) }
}

fn target_bytes(uri: &Uri) -> usize {
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    authority.saturating_add(path)
}

fn host_field(headers: &HeaderMap) -> Result<Option<RequestAuthority>, Reject> {
    let mut fields = headers.get_all(HOST).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(Reject::HostRepeated);
    }
    let text = field.to_str().map_err(|_| Reject::HostMalformed)?;
    RequestAuthority::parse(text).map(Some)
}

/// The authority inside the target, if it has one. A target that is nothing but an authority belongs to
/// CONNECT alone, and only schemes that are HTTP may stand before one.
fn target_authority(uri: &Uri) -> Result<Option<RequestAuthority>, Reject> {
    let Some(authority) = uri.authority() else { return Ok(None) };
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
            RequestAuthority::parse(authority.as_str()).map(Some)
        }
        _ => Err(Reject::HostMalformed),
    }
}

fn agree(target: &RequestAuthority, field: &RequestAuthority, uri: &Uri) -> bool {
    let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    target.host == field.host && target.port.unwrap_or(default) == field.port.unwrap_or(default)
}

fn parse_host(text: &str) -> Result<Host, Reject> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    Hostname::parse(text).map(Host::Name).map_err(|_| Reject::HostMalformed)
}

fn parse_port(text: &str) -> Result<u16, Reject> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Reject::HostMalformed);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(Reject::HostMalformed),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests;
