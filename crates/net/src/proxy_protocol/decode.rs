//! Reading a header, as far as it is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::SIGNATURE;
use super::checksum::crc32c;
use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};

/// Whom a header names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Who connected to the load balancer. An IPv4 address that came as IPv6 is IPv4 again.
    Visitor(SocketAddr),
    /// Nobody, or nobody with an address: the connection is the load balancer's own, as to see whether we live.
    Unknown,
}

/// How far a header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// At least so many more bytes belong to it.
    Needs(usize),
    /// It is whole, and all of the bytes belonged to it.
    Whole(Source),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Neither version begins like this.
    #[error("the connection does not begin with a PROXY protocol header")]
    NotProxy,
    /// Version 1 without an end within its bound.
    #[error("the header's line is longer than {PROXY_LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// Version 1 whose words are not what they should be.
    #[error("the header's line is malformed")]
    Line,
    /// A version or command of the binary form that nobody knows.
    #[error("the header has the version and command {0:#04x}")]
    Command(u8),
    /// Addresses of something else than a TCP connection.
    #[error("the header has the family and protocol {0:#04x}")]
    Family(u8),
    /// Version 2 beyond its bound.
    #[error("the header is longer than {PROXY_HEADER_BYTES_MAX} bytes")]
    TooLong,
    /// Version 2 whose addresses do not fit into its length.
    #[error("the header is too short for its addresses")]
    Short,
    /// The fields behind the addresses do not fill what is left.
    #[error("the header's additional fields are malformed")]
    Fields,
    /// The checksum is of other bytes.
    #[error("the header's checksum is wrong")]
    Checksum,
    /// Bytes behind the header, where there may be none.
    #[error("bytes behind the header")]
    Surplus,
}

const LINE_START: &[u8] = b"PROXY";
/// `PROXY UNKNOWN` with its end. Version 2 is longer in any case.
const SHORTEST_BYTES: usize = 15;
/// Bytes of version 2 before its addresses.
const FIXED_BYTES: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_V4: u8 = 0x11;
const TCP_V6: u8 = 0x21;
/// `AF_UNIX` with `STREAM`: two paths of 108 bytes.
const UNIX_STREAM: u8 = 0x31;
const UNIX_PATHS_BYTES: usize = 216;
/// The additional field with the checksum of the whole header.
const CRC32C: u8 = 0x03;

/// Looks at the first bytes of a connection. Give it what it [needs](Progress::Needs) and no more until it is whole: then
/// no byte behind the header was read. Of whatever bytes it makes an answer.
///
/// # Errors
/// See [`HeaderError`], as soon as the bytes cannot become a header.
pub fn decode(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let starts = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    if bytes.is_empty() {
        Ok(Progress::Needs(SHORTEST_BYTES))
    } else if starts(&SIGNATURE) {
        binary(bytes)
    } else if starts(LINE_START) {
        line(bytes)
    } else {
        Err(HeaderError::NotProxy)
    }
}

/// Section 2.1.
fn line(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        // The end may have begun.
        let end_bytes = if bytes.ends_with(b"\r") { 1 } else { 2 };
        let needs = SHORTEST_BYTES.saturating_sub(bytes.len()).max(end_bytes);
        let within = bytes.len().saturating_add(needs) <= PROXY_LINE_BYTES_MAX;
        return if within { Ok(Progress::Needs(needs)) } else { Err(HeaderError::LineTooLong) };
    };
    let (text, rest) = bytes.split_at_checked(end).ok_or(HeaderError::Line)?;
    if rest.len() > 2 {
        return Err(HeaderError::Surplus);
    }
    if bytes.len() > PROXY_LINE_BYTES_MAX {
        return Err(HeaderError::LineTooLong);
    }
    let text = std::str::from_utf8(text).map_err(|_| HeaderError::Line)?;
    words(text).map(Progress::Whole).ok_or(HeaderError::Line)
}

fn words(line: &str) -> Option<Source> {
    let mut words = line.split(' ');
    if words.next()?.as_bytes() != LINE_START {
        return None;
    }
    let ip: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        // Whatever follows is to be ignored.
        "UNKNOWN" => return Some(Source::Unknown),
        _ => return None,
    };
    let (source, _destination) = (ip(words.next()?)?, ip(words.next()?)?);
    let (port, _destination_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| visitor(source, port))
}

/// Decimal, without a zero in front.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Section 2.2.
fn binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some((fixed, body)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Progress::Needs(FIXED_BYTES.saturating_sub(bytes.len())));
    };
    let [.., command, family, high, low] = *fixed;
    if !matches!(command, LOCAL | PROXY) {
        return Err(HeaderError::Command(command));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED_BYTES.saturating_add(length) > PROXY_HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    match length.checked_sub(body.len()) {
        None => Err(HeaderError::Surplus),
        Some(0) => addressed(fixed, (command, family), body).map(Progress::Whole),
        Some(needs) => Ok(Progress::Needs(needs)),
    }
}

fn addressed(fixed: &[u8], (command, family): (u8, u8), body: &[u8]) -> Result<Source, HeaderError> {
    let (source, fields) = match family {
        TCP_V4 => {
            let ([a, b, c, d, _, _, _, _, high, low, _, _], fields) =
                body.split_first_chunk::<12>().ok_or(HeaderError::Short)?;
            let port = u16::from_be_bytes([*high, *low]);
            (visitor(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), port), fields)
        }
        TCP_V6 => {
            let (ip, rest) = body.split_first_chunk::<16>().ok_or(HeaderError::Short)?;
            let (ends, fields) = rest.split_first_chunk::<20>().ok_or(HeaderError::Short)?;
            let [.., high, low, _, _] = *ends;
            (visitor(IpAddr::V6(Ipv6Addr::from(*ip)), u16::from_be_bytes([high, low])), fields)
        }
        UNIX_STREAM => {
            let (_paths, fields) = body.split_at_checked(UNIX_PATHS_BYTES).ok_or(HeaderError::Short)?;
            (Source::Unknown, fields)
        }
        // Without a family nobody knows where addresses end, so there are no fields either.
        UNSPECIFIED => return Ok(Source::Unknown),
        // What a load balancer says of its own connection has no meaning.
        _ if command == LOCAL => return Ok(Source::Unknown),
        family => return Err(HeaderError::Family(family)),
    };
    check(fixed, body, fields)?;
    Ok(if command == LOCAL { Source::Unknown } else { source })
}

/// Walks over the fields: type, length, value. Only the checksum among them says something to us.
fn check(fixed: &[u8], body: &[u8], fields: &[u8]) -> Result<(), HeaderError> {
    let mut rest = fields;
    while let Some(([kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = after.split_at_checked(length).ok_or(HeaderError::Fields)?;
        if *kind == CRC32C {
            let sum = u32::from_be_bytes(value.try_into().map_err(|_| HeaderError::Fields)?);
            // It was made with zeros in its own place.
            let before = body.len().saturating_sub(after.len());
            let (before, zeros) = (body.get(..before).unwrap_or_default(), [0; 4]);
            if crc32c([fixed, before, &zeros, next]) != sum {
                return Err(HeaderError::Checksum);
            }
        }
        rest = next;
    }
    if rest.is_empty() { Ok(()) } else { Err(HeaderError::Fields) }
}

fn visitor(ip: IpAddr, port: u16) -> Source {
    match ip.to_canonical() {
        // Nobody connects from there.
        ip if ip.is_unspecified() => Source::Unknown,
        ip => Source::Visitor(SocketAddr::new(ip, port)),
    }
}

#[cfg(test)]
mod tests;
