//! Which `Host` the upstream is sent.

use crate::host_port::{self, HostPortError};

/// What the upstream sees in `Host`, or `:authority`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum HostHeader {
    /// What the visitor wrote: the public name.
    #[default]
    Preserve,
    /// The host and port of the upstream itself.
    Rewrite,
    /// This host and port.
    Value(String),
}

impl HostHeader {
    /// Parses `preserve`, `rewrite`, or a host with a port or without.
    ///
    /// # Errors
    /// Says what is wrong with the host.
    pub fn parse(text: &str) -> Result<Self, HostPortError> {
        match text {
            "preserve" => Ok(Self::Preserve),
            "rewrite" => Ok(Self::Rewrite),
            host => {
                let (host, port) = host_port::split(host)?;
                let host = host_port::in_url(&host);
                Ok(Self::Value(port.map_or(host.clone(), |port| format!("{host}:{port}"))))
            }
        }
    }
}
