//! Writing a header.

use std::net::{IpAddr, SocketAddr};

use super::{ProxyVersion, SIGNATURE};

/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;
/// Version 2, command LOCAL.
const VERSION_AND_LOCAL: u8 = 0x20;
/// `AF_INET` and `STREAM`, and the length of two addresses with ports.
const TCP_V4: (u8, u16) = (0x11, 12);
/// `AF_INET6` and `STREAM`, and the length of two addresses with ports.
const TCP_V6: (u8, u16) = (0x21, 36);

/// The header for a connection from `source` to `destination`. Addresses of two families are both written as IPv6.
#[must_use]
pub fn header(version: ProxyVersion, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (from, to) = one_family(source.ip().to_canonical(), destination.ip().to_canonical());
    let ports = (source.port(), destination.port());
    match version {
        ProxyVersion::V1 => line(from, to, ports),
        ProxyVersion::V2 => binary(from, to, ports),
    }
}

/// The header for a connection that no visitor is behind, such as one that only tries whether the service is there.
#[must_use]
pub fn without_visitor(version: ProxyVersion) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        ProxyVersion::V2 => [&SIGNATURE[..], &[VERSION_AND_LOCAL, 0, 0, 0]].concat(),
    }
}

fn one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    let widened = |ip| match ip {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        v6 @ IpAddr::V6(_) => v6,
    };
    if from.is_ipv4() == to.is_ipv4() { (from, to) } else { (widened(from), widened(to)) }
}

fn line(from: IpAddr, to: IpAddr, (from_port, to_port): (u16, u16)) -> Vec<u8> {
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}

fn binary(from: IpAddr, to: IpAddr, (from_port, to_port): (u16, u16)) -> Vec<u8> {
    let (family, length) = if from.is_ipv4() { TCP_V4 } else { TCP_V6 };
    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_AND_COMMAND, family]);
    header.extend(length.to_be_bytes());
    for ip in [from, to] {
        match ip {
            IpAddr::V4(v4) => header.extend(v4.octets()),
            IpAddr::V6(v6) => header.extend(v6.octets()),
        }
    }
    header.extend(from_port.to_be_bytes());
    header.extend(to_port.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{ProxyVersion, header, without_visitor};

    fn text(source: &str, destination: &str) -> String {
        let bytes = header(ProxyVersion::V1, source.parse().unwrap(), destination.parse().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    /// The examples are those of the specification, and its longest line.
    #[test]
    fn version_1() {
        assert_eq!(
            text("192.168.0.1:56324", "192.168.0.11:443"),
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
        );
        assert_eq!(text("[2001:db8::1]:1", "[::1]:22"), "PROXY TCP6 2001:db8::1 ::1 1 22\r\n");
        assert_eq!(text("[::ffff:192.0.2.7]:9", "127.0.0.1:22"), "PROXY TCP4 192.0.2.7 127.0.0.1 9 22\r\n");
        assert_eq!(text("[2001:db8::1]:1", "10.0.0.1:22"), "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 22\r\n");
        let longest = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
        assert!(text(longest, longest).len() <= 107);
    }

    #[test]
    fn nobody() {
        assert_eq!(without_visitor(ProxyVersion::V1), b"PROXY UNKNOWN\r\n");
        assert_eq!(
            without_visitor(ProxyVersion::V2),
            b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x20\0\0\0"
        );
    }

    #[test]
    fn version_2() {
        let v4 = header(ProxyVersion::V2, "192.0.2.7:258".parse().unwrap(), "127.0.0.1:22".parse().unwrap());
        let start = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a";
        let rest = [0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1, 1, 2, 0, 22];
        assert_eq!(v4, [&start[..], &rest].concat());
        let v6 = header(ProxyVersion::V2, "[2001:db8::1]:258".parse().unwrap(), "[::1]:22".parse().unwrap());
        assert!(v6.starts_with(&[&start[..], &[0x21, 0x21, 0, 36, 0x20, 0x01, 0x0d, 0xb8]].concat()));
        assert!(v6.ends_with(&[1, 2, 0, 22]));
        assert_eq!(v6.len(), 16 + 36);
    }
}
