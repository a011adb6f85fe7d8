//! Where the server is.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::host_port::{self, HostPortError};

/// The server whose API exchanges the API key, always over TLS: `adit.example`, `https://adit.example:8443`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// Why a text is not a server's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ServerAddressError {
    /// A scheme other than `https`. There is no way to speak to a server without TLS.
    #[error("it must start with https://, or have no scheme")]
    Scheme,
    /// Something after host and port.
    #[error("it ends after the host and port")]
    Path,
    /// The host or the port.
    #[error("{0}")]
    HostPort(HostPortError),
}

impl ServerAddress {
    /// Parses `host`, `host:port` or `https://host[:port]`; the port is 443 if none is given.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, ServerAddressError> {
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => rest,
            Some(_) => return Err(ServerAddressError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '\\', '@']) {
            return Err(ServerAddressError::Path);
        }
        let (host, port) = host_port::split(rest).map_err(ServerAddressError::HostPort)?;
        Ok(Self { host, port: port.unwrap_or(443) })
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

    /// Host and port as an HTTP authority (RFC 9110, section 4.2.2): the port is left out if it is 443.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = host_port::in_url(&self.host);
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{ServerAddress, ServerAddressError};
    use crate::host_port::HostPortError;

    #[test]
    fn what_people_write() {
        let cases = [
            ("adit.example", "https://adit.example"),
            ("https://Adit.Example/", "https://adit.example"),
            ("adit.example:443", "https://adit.example"),
            ("localhost:8443", "https://localhost:8443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ];
        for (text, shown) in cases {
            assert_eq!(
                ServerAddress::parse(text).map(|server| server.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_refused() {
        use ServerAddressError::{HostPort, Path, Scheme};
        let cases = [
            ("http://adit.example", Scheme),
            ("https://adit.example/api", Path),
            ("https://me@adit.example", Path),
            ("", HostPort(HostPortError::NoHost)),
            ("adit.example:0", HostPort(HostPortError::Port)),
        ];
        for (text, error) in cases {
            assert_eq!(ServerAddress::parse(text), Err(error), "{text:?}");
        }
    }
}
