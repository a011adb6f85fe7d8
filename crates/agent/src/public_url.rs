//! Which public URL is asked for.

use std::num::NonZeroU16;
use std::str::FromStr;

use adit_domain::{Hostname, HostnameError};
use thiserror::Error;

/// The public URL that an agent asks for: `name`, `name.example.com` or `https://name.example.com`.
///
/// A name of one label stands for the endpoint of that name directly under the server's domain of endpoints; only the
/// server knows that domain, so the name travels as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicUrl {
    hostname: Hostname,
    port: Option<NonZeroU16>,
}

/// Why a text is not a public URL to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublicUrlError {
    /// Another scheme than the endpoint's.
    #[error("it must start with {0}://, or have no scheme")]
    Scheme(&'static str),
    /// Something after the host.
    #[error("it ends after the host name: an endpoint has no path of its own")]
    Path,
    /// A port that is not a number.
    #[error("its port must be a number from 1 to 65535")]
    Port,
    /// The host name.
    #[error("{0}")]
    Hostname(HostnameError),
}

impl PublicUrl {
    /// Parses a name, a host name or an `https` URL. A port, as servers in development print it, is dropped: the
    /// server alone decides on which port it listens.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let PublicUrl { hostname, .. } = Self::parse_with("https", text)?;
        Ok(Self { hostname, port: None })
    }

    /// Parses a name, a host name or a `tcp` URL. Its port, if it has one, is asked for.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_tcp(text: &str) -> Result<Self, PublicUrlError> {
        Self::parse_with("tcp", text)
    }

    /// Parses a name, a host name or a `tls` URL, as [`PublicUrl::parse`] does.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_tls(text: &str) -> Result<Self, PublicUrlError> {
        let PublicUrl { hostname, .. } = Self::parse_with("tls", text)?;
        Ok(Self { hostname, port: None })
    }

    /// Parses a name, a host name or a `udp` URL. Its port, if it has one, is asked for.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_udp(text: &str) -> Result<Self, PublicUrlError> {
        Self::parse_with("udp", text)
    }

    fn parse_with(expected: &'static str, text: &str) -> Result<Self, PublicUrlError> {
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(expected) => rest,
            Some(_) => return Err(PublicUrlError::Scheme(expected)),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '\\', '@']) {
            return Err(PublicUrlError::Path);
        }
        let (host, port) = match rest.split_once(':') {
            None => (rest, None),
            Some((host, port)) => {
                let port = crate::host_port::parse_port(port).map_err(|_| PublicUrlError::Port)?;
                (host, NonZeroU16::new(port))
            }
        };
        let hostname = Hostname::parse(host).map_err(PublicUrlError::Hostname)?;
        Ok(Self { hostname, port })
    }

    /// The host name, or the one label, that is asked for.
    #[must_use]
    pub const fn hostname(&self) -> &Hostname {
        &self.hostname
    }

    /// The public port that is asked for.
    #[must_use]
    pub const fn port(&self) -> Option<NonZeroU16> {
        self.port
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use adit_domain::{HostnameError, LabelError};

    use super::{PublicUrl, PublicUrlError};

    #[test]
    fn what_people_write() {
        let cases = [
            ("demo", "demo"),
            ("Demo.Example.com", "demo.example.com"),
            ("https://demo.example.com", "demo.example.com"),
            ("https://demo.example.com/", "demo.example.com"),
            ("https://demo.localhost:8443", "demo.localhost"),
            ("HTTPS://demo", "demo"),
        ];
        for (text, host) in cases {
            let parsed = PublicUrl::parse(text).map(|url| url.hostname().to_string());
            assert_eq!(parsed, Ok(host.to_owned()), "{text}");
        }
    }

    #[test]
    fn only_tcp_asks_for_a_port() {
        let port = |parsed: Result<PublicUrl, _>| parsed.map(|url| url.port().map(u16::from));
        assert_eq!(port(PublicUrl::parse("https://demo.localhost:8443")), Ok(None));
        assert_eq!(port(PublicUrl::parse_tcp("tcp://demo.example.com:20022")), Ok(Some(20_022)));
        assert_eq!(port(PublicUrl::parse_tcp("demo:20022")), Ok(Some(20_022)));
        assert_eq!(port(PublicUrl::parse_tcp("demo")), Ok(None));
        assert_eq!(port(PublicUrl::parse_tcp("demo:0")), Err(PublicUrlError::Port));
        assert_eq!(port(PublicUrl::parse_tcp("https://demo")), Err(PublicUrlError::Scheme("tcp")));
    }

    #[test]
    fn what_is_refused() {
        use PublicUrlError::{Hostname, Path, Port, Scheme};
        let cases = [
            ("", Hostname(HostnameError::Empty)),
            ("https://", Hostname(HostnameError::Empty)),
            ("http://demo.example.com", Scheme("https")),
            ("tcp://demo.example.com:1", Scheme("https")),
            ("https://demo.example.com/path", Path),
            ("https://me@demo.example.com", Path),
            ("demo:x", Port),
            ("de_mo", Hostname(HostnameError::Label(LabelError::Character))),
            ("127.0.0.1", Hostname(HostnameError::Numeric)),
        ];
        for (text, error) in cases {
            assert_eq!(PublicUrl::parse(text), Err(error), "{text:?}");
        }
    }
}
