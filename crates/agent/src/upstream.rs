//! The upstream: the local service behind the agent. It is fixed when the agent starts; nothing that a server sends
//! can change where the agent connects to.

mod any_certificate;
pub(crate) mod dial;
mod host_header;
pub(crate) mod socket;

use std::fmt;
use std::str::FromStr;

use adit_domain::{EndpointKind, UpstreamProtocol};
use thiserror::Error;

use crate::host_port::{self, HostPortError};
use crate::limits::LABEL_BYTES_MAX;
pub use host_header::HostHeader;

/// How the agent speaks to the upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// Plain TCP, of which the bytes are carried as they are.
    Tcp,
    /// Plain TCP, too: visitors speak TLS with the service itself.
    Tls,
    /// UDP, of which the datagrams are carried as they are.
    Udp,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }
}

/// The version of HTTP that the upstream is spoken to in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, without asking first where there is no TLS.
    Http2,
}

/// A local service, as in `http://localhost:3000`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    scheme: Scheme,
    host: String,
    port: u16,
    version: HttpVersion,
    host_header: HostHeader,
}

/// Why a text is not an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpstreamError {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// A scheme other than `http` and `https`.
    #[error("it must start with http:// or https://, or have no scheme")]
    Scheme,
    /// A host without a port, as in `localhost`.
    #[error("it needs a port, as in localhost:3000")]
    NoPort,
    /// Another scheme, where bytes are carried as they are.
    #[error("it must start with {0}://, or have no scheme")]
    OtherScheme(&'static str),
    /// Something after the port.
    #[error("it ends after the port: paths, queries and fragments are passed on as the visitor sent them")]
    Path,
    /// A name or password before the host.
    #[error("it may not hold a user name or password")]
    UserInfo,
    /// The host or the port.
    #[error("{0}")]
    HostPort(HostPortError),
}

impl Upstream {
    /// Parses `3000`, `host:port`, `http://host[:port]` or `https://host[:port]`.
    ///
    /// A bare port is `localhost`. Port 443 without a scheme is `https`; everything else without one is `http`.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, UpstreamError> {
        if text.is_empty() {
            return Err(UpstreamError::Empty);
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let port = host_port::parse_port(text).map_err(UpstreamError::HostPort)?;
            return Ok(Self::new(None, "localhost".to_owned(), port));
        }
        let (scheme, rest) = split_scheme(text)?;
        let rest = without_slash(rest)?;
        if let (None, Some(port)) = (scheme, rest.strip_prefix(':'))
            && !port.contains(':')
        {
            return Self::parse(port);
        }
        let (host, port) = host_port::split(rest).map_err(UpstreamError::HostPort)?;
        let port = match (port, scheme) {
            (Some(port), _) => port,
            (None, Some(Scheme::Http)) => 80,
            (None, Some(Scheme::Https)) => 443,
            (None, Some(Scheme::Tcp | Scheme::Tls | Scheme::Udp) | None) => {
                return Err(UpstreamError::NoPort);
            }
        };
        Ok(Self::new(scheme, host, port))
    }

    /// Parses `22`, `host:22` or `tcp://host:22`, for a service of which the bytes are carried as they are.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_tcp(text: &str) -> Result<Self, UpstreamError> {
        Self::parse_raw(Scheme::Tcp, text)
    }

    /// Parses `443`, `host:443` or `tls://host:443`, for a service that speaks TLS with visitors itself.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_tls(text: &str) -> Result<Self, UpstreamError> {
        Self::parse_raw(Scheme::Tls, text)
    }

    /// Parses `53`, `host:53` or `udp://host:53`, for a service of which the datagrams are carried as they are.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_udp(text: &str) -> Result<Self, UpstreamError> {
        Self::parse_raw(Scheme::Udp, text)
    }

    fn parse_raw(scheme: Scheme, text: &str) -> Result<Self, UpstreamError> {
        let rest = match text.split_once("://") {
            None => text,
            Some((given, rest)) if given.eq_ignore_ascii_case(scheme.name()) => rest,
            Some(_) => return Err(UpstreamError::OtherScheme(scheme.name())),
        };
        let rest = without_slash(rest)?;
        let bare = rest.strip_prefix(':').unwrap_or(rest);
        if bare.is_empty() {
            return Err(UpstreamError::Empty);
        }
        let (host, port) = if bare.bytes().all(|b| b.is_ascii_digit()) {
            ("localhost".to_owned(), Some(host_port::parse_port(bare).map_err(UpstreamError::HostPort)?))
        } else {
            host_port::split(rest).map_err(UpstreamError::HostPort)?
        };
        Ok(Self::new(Some(scheme), host, port.ok_or(UpstreamError::NoPort)?))
    }

    fn new(scheme: Option<Scheme>, host: String, port: u16) -> Self {
        let scheme = scheme.unwrap_or(if port == 443 { Scheme::Https } else { Scheme::Http });
        let (version, host_header) = (HttpVersion::default(), HostHeader::default());
        Self { scheme, host, port, version, host_header }
    }

    /// The same service, spoken to in this version.
    #[must_use]
    pub fn speaking(self, version: HttpVersion) -> Self {
        Self { version, ..self }
    }

    /// The same service, sent this `Host`.
    #[must_use]
    pub fn with_host_header(self, host_header: HostHeader) -> Self {
        Self { host_header, ..self }
    }

    /// What it is spoken to in, TLS included.
    #[must_use]
    pub const fn protocol(&self) -> UpstreamProtocol {
        match (self.version, self.scheme) {
            (HttpVersion::Http1, _) | (HttpVersion::Http2, Scheme::Tcp | Scheme::Tls | Scheme::Udp) => {
                UpstreamProtocol::Http1
            }
            (HttpVersion::Http2, Scheme::Http) => UpstreamProtocol::H2c,
            (HttpVersion::Http2, Scheme::Https) => UpstreamProtocol::H2,
        }
    }

    /// The `Host` that it is sent; empty for the visitor's.
    #[must_use]
    pub fn host_header(&self) -> String {
        match &self.host_header {
            HostHeader::Preserve => String::new(),
            HostHeader::Value(value) => value.clone(),
            HostHeader::Rewrite => {
                let host = host_port::in_url(&self.host);
                match (self.scheme, self.port) {
                    (Scheme::Http, 80) | (Scheme::Https, 443) => host,
                    (_, port) => format!("{host}:{port}"),
                }
            }
        }
    }

    /// What visitors speak to the endpoint that leads to it.
    #[must_use]
    pub const fn kind(&self) -> EndpointKind {
        match self.scheme {
            Scheme::Http | Scheme::Https => EndpointKind::Http,
            Scheme::Tcp => EndpointKind::Tcp,
            Scheme::Tls => EndpointKind::Tls,
            Scheme::Udp => EndpointKind::Udp,
        }
    }

    /// How the agent speaks to it.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host: a name or an address, lower-case, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is this computer by its very name. Certificates of such upstreams are not verified.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        host_port::is_loopback(&self.host)
    }

    /// The name under which the server remembers which endpoint this upstream had: its text, shortened with a hash
    /// if it is longer than [`LABEL_BYTES_MAX`] bytes. Different spellings of one upstream have one label.
    #[must_use]
    pub fn label(&self) -> String {
        let text = self.to_string();
        if text.len() <= LABEL_BYTES_MAX {
            return text;
        }
        let hash = format!("~{:016x}", fnv1a(text.as_bytes()));
        let kept = text.get(..LABEL_BYTES_MAX - hash.len()).unwrap_or_default();
        format!("{kept}{hash}")
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        write!(f, "{scheme}://{}:{}", host_port::in_url(&self.host), self.port)
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Nothing but a host and a port, perhaps with a slash behind it.
fn without_slash(rest: &str) -> Result<&str, UpstreamError> {
    if rest.contains('@') {
        return Err(UpstreamError::UserInfo);
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '\\']) { Err(UpstreamError::Path) } else { Ok(rest) }
}

fn split_scheme(text: &str) -> Result<(Option<Scheme>, &str), UpstreamError> {
    match text.split_once("://") {
        None => Ok((None, text)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Ok((Some(Scheme::Http), rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok((Some(Scheme::Https), rest)),
        Some(_) => Err(UpstreamError::Scheme),
    }
}

/// FNV-1a, 64 bits: stable across versions, which the standard library's hashers are not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
