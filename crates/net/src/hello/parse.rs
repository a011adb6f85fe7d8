//! Reads a `ClientHello` (RFC 8446, section 4.1.2). Total: any bytes give an answer, nothing is allocated but what is
//! kept.

use super::ClientHello;

/// `ExtensionType.server_name`.
const SERVER_NAME: u16 = 0;
/// `ExtensionType.application_layer_protocol_negotiation`.
const PROTOCOLS: u16 = 16;
/// `NameType.host_name`, the only one there is.
const HOST_NAME: u8 = 0;
const SESSION_ID_BYTES_MAX: usize = 32;

/// The protocols that a client offers, in its order of preference.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Protocols(Vec<u8>);

impl Protocols {
    /// Each protocol's name.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut list = Bytes(&self.0);
        std::iter::from_fn(move || list.short())
    }

    /// Whether `protocol` is among them.
    #[must_use]
    pub fn offer(&self, protocol: &[u8]) -> bool {
        self.iter().any(|offered| offered == protocol)
    }
}

/// The hello in the body of a handshake message, unless it is malformed.
pub(super) fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut body = Bytes(body);
    body.take(2)?; // legacy_version
    body.take(32)?; // random
    body.short().filter(|session| session.len() <= SESSION_ID_BYTES_MAX)?;
    let ciphers = body.long()?;
    if ciphers.is_empty() || !ciphers.len().is_multiple_of(2) {
        return None;
    }
    body.short().filter(|compressions| !compressions.is_empty())?;
    if body.is_empty() {
        return Some(ClientHello { server_name: None, protocols: Protocols::default() });
    }
    let found = extensions(body.long()?)?;
    body.is_empty().then_some(found)
}

fn extensions(list: &[u8]) -> Option<ClientHello> {
    let mut list = Bytes(list);
    let (mut name, mut protocols) = (None, None);
    while !list.is_empty() {
        let kind = list.number()?;
        let data = list.long()?;
        // Which of two counts would be a matter of taste, and the TLS stack's may differ from ours.
        let twice = match kind {
            SERVER_NAME => name.replace(server_name(data)?).is_some(),
            PROTOCOLS => protocols.replace(protocol_list(data)?).is_some(),
            _ => false,
        };
        if twice {
            return None;
        }
    }
    // A name that is no host name, such as an IP address, names nobody.
    let server_name = name.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok());
    Some(ClientHello { server_name, protocols: protocols.unwrap_or_default() })
}

/// RFC 6066, section 3: a list of one host name.
fn server_name(data: &[u8]) -> Option<&[u8]> {
    let mut data = Bytes(data);
    let mut list = Bytes(data.long()?);
    let kind = list.number_u8()?;
    let name = list.long()?;
    (kind == HOST_NAME && !name.is_empty() && list.is_empty() && data.is_empty()).then_some(name)
}

/// RFC 7301, section 3.1: names of 1 to 255 bytes.
fn protocol_list(data: &[u8]) -> Option<Protocols> {
    let mut data = Bytes(data);
    let list = data.long()?;
    let mut names = Bytes(list);
    let mut valid = !list.is_empty() && data.is_empty();
    while valid && !names.is_empty() {
        valid = !names.short()?.is_empty();
    }
    valid.then(|| Protocols(list.to_vec()))
}

/// Bytes that are taken from the front. `None` where there are too few.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number_u8(&mut self) -> Option<u8> {
        let (number, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*number)
    }

    fn number(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    /// A run of bytes behind its length in one byte.
    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.number_u8()?;
        self.take(usize::from(length))
    }

    /// A run of bytes behind its length in two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}
