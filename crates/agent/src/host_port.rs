//! A host and perhaps a port, as people write them: `app`, `app:3000`, `127.0.0.1:3000`, `[::1]:3000`.

use std::net::{IpAddr, Ipv6Addr};

use thiserror::Error;

use crate::limits::HOST_BYTES_MAX;

/// Why a text is not a host with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostPortError {
    /// No host.
    #[error("it names no host")]
    NoHost,
    /// More than [`HOST_BYTES_MAX`] bytes.
    #[error("its host is longer than 253 bytes")]
    HostTooLong,
    /// A character that no host has.
    #[error("its host may only have letters, digits, hyphens, underscores and dots")]
    HostCharacter,
    /// An IPv6 address without brackets, or brackets around something else.
    #[error("an IPv6 address is written in brackets, as in [::1]:3000")]
    Brackets,
    /// Not a number from 1 to 65535.
    #[error("its port must be a number from 1 to 65535")]
    Port,
}

/// Splits `text` into host and port. The host is lower-case, an IPv6 address comes without its brackets.
///
/// # Errors
/// Says which part is wrong.
pub fn split(text: &str) -> Result<(String, Option<u16>), HostPortError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(HostPortError::Brackets)?;
        let address: Ipv6Addr = address.parse().map_err(|_| HostPortError::Brackets)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(HostPortError::Port),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(HostPortError::Brackets),
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    Ok((parse_host(host)?, port))
}

/// A port in decimal digits, without sign or space.
///
/// # Errors
/// [`HostPortError::Port`] for everything else and for 0.
pub fn parse_port(text: &str) -> Result<u16, HostPortError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HostPortError::Port);
    }
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(HostPortError::Port),
    }
}

/// The host as it stands in a URL: IPv6 addresses in brackets.
pub fn in_url(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

/// Whether the host is this computer by its very name: no look-up is needed to know.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn parse_host(host: &str) -> Result<String, HostPortError> {
    if host.is_empty() || host.starts_with('.') {
        return Err(HostPortError::NoHost);
    }
    if host.len() > HOST_BYTES_MAX {
        return Err(HostPortError::HostTooLong);
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(HostPortError::HostCharacter);
    }
    Ok(host.to_ascii_lowercase())
}
