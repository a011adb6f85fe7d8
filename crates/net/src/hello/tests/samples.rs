//! Hellos as rustls writes them, and hellos written by hand.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::tls::provider;

const MESSAGE_HEADER_BYTES: usize = 4;
const RECORD_HEADER_BYTES: usize = 5;

/// The first flight of a rustls client.
pub(super) fn from_rustls(
    name: &str,
    protocols: &[&[u8]],
    post_quantum: bool,
    record_bytes_max: Option<usize>,
) -> Vec<u8> {
    let mut provider = provider().as_ref().clone();
    if !post_quantum {
        provider.kx_groups = vec![kx_group::X25519];
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.max_fragment_size = record_bytes_max;
    let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// The name and protocols that rustls' own server side reads, if it accepts the hello.
pub(super) fn rustls_reads(mut bytes: &[u8]) -> Option<(Option<String>, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let protocols = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
            return Some((hello.server_name().map(str::to_owned), protocols));
        }
    }
    None
}

/// A `ClientHello` message with these extensions.
pub(super) fn body(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0); // no session
    body.extend_from_slice(&[0, 2, 0x13, 0x01]); // one cipher suite
    body.extend_from_slice(&[1, 0]); // no compression
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend_from_slice(extensions);
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[..], &body].concat()
}

pub(super) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&kind.to_be_bytes()[..], &length, data].concat()
}

pub(super) fn server_name(name: &[u8]) -> Vec<u8> {
    let name_bytes = u16::try_from(name.len()).unwrap();
    let list_bytes = (name_bytes + 3).to_be_bytes();
    extension(0, &[&list_bytes[..], &[0], &name_bytes.to_be_bytes(), name].concat())
}

/// The message in records of at most `record_bytes`.
pub(super) fn in_records(message: &[u8], record_bytes: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| {
        let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &length[..], fragment].concat()
    };
    message.chunks(record_bytes).flat_map(record).collect()
}

/// A hello for `a.example` that takes exactly `total` bytes in records of at most `record_bytes`.
pub(super) fn padded(total: usize, record_bytes: usize) -> Vec<u8> {
    let name = server_name(b"a.example");
    let without = body(&[name.clone(), extension(21, &[])].concat()).len();
    let records = total.div_ceil(record_bytes + RECORD_HEADER_BYTES);
    let padding = total - records * RECORD_HEADER_BYTES - without;
    assert!(without > MESSAGE_HEADER_BYTES && padding < 1 << 16);
    in_records(&body(&[name, extension(21, &vec![0; padding])].concat()), record_bytes)
}
