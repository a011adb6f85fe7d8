//! Texts that people and programs write.

use std::path::Path;

use adit_agent::config::{self, ConfigError, ConfigFile, Placed};
use adit_agent::limits::LABEL_BYTES_MAX;
use adit_agent::{HostHeader, PublicUrl, ServerAddress, Upstream};
use adit_domain::{ApiKey, Hostname};
use http::uri::Authority;

/// A key that was made for this.
const KEY: &str = "adit_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf42LErZ";

/// A host name that is accepted is canonical, and reads the same again.
pub fn hostname(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(name) = Hostname::parse(text) else { return };
    assert_eq!(Hostname::parse(name.as_str()).as_ref(), Ok(&name));
    assert!(name.as_str().len() <= 253);
    assert!(name.labels().all(|label| !label.is_empty() && label.len() <= 63));
    assert!(!name.as_str().bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_control()));
}

/// A key that is accepted is what was written, without the white space around it.
pub fn api_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(key) = ApiKey::parse(text) else { return };
    assert_eq!(key.expose(), text.trim());
    assert!(!format!("{key:?}").contains(key.expose()), "a secret in Debug");
}

/// A configuration file is understood or refused, and nothing that is said about it holds a key. An API key that is added
/// to one that is understood reads back, beside what stood there.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("adit.toml");
    let key = ApiKey::parse(KEY).expect("a valid key");
    let (read, added) = (ConfigFile::parse(path, text), config::with_authtoken(path, text, &key));
    match (&read, added) {
        (Ok(old), Ok(added)) => {
            let new = ConfigFile::parse(path, &added).expect("what we wrote is understood");
            assert_eq!(new.authtoken.map(|key| key.value.expose().to_owned()), Some(KEY.to_owned()));
            let text_of =
                |placed: &Option<Placed<String>>| placed.as_ref().map(|placed| placed.value.clone());
            assert_eq!(text_of(&new.server), text_of(&old.server));
            assert_eq!(text_of(&new.ca_file), text_of(&old.ca_file));
        }
        // What stood there was no key.
        (Err(ConfigError::Authtoken { .. }), Ok(added)) => {
            ConfigFile::parse(path, &added).expect("what we wrote is understood");
        }
        (Err(_), Err(_)) => {}
        (read, added) => panic!("{read:?}, but with a key {added:?}"),
    }
    let said = match read {
        // A key in another place is what the file says.
        Ok(config) => format!("{:?}", config.authtoken),
        Err(error) => format!("{error} {error:?}"),
    };
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    assert!(!words.any(|word| ApiKey::parse(word).is_ok() && said.contains(word)), "a secret in {said}");
}

/// What people write on a command line: what is accepted reads the same again, and is what a server can use.
pub fn addresses(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsers = [Upstream::parse, Upstream::parse_tcp, Upstream::parse_tls, Upstream::parse_udp];
    for parse in parsers {
        let Ok(upstream) = parse(text) else { continue };
        assert_eq!(parse(&upstream.to_string()).as_ref(), Ok(&upstream));
        assert!(upstream.label().len() <= LABEL_BYTES_MAX);
        is_authority(&upstream.with_host_header(HostHeader::Rewrite).host_header());
    }
    if let Ok(server) = ServerAddress::parse(text) {
        assert_eq!(ServerAddress::parse(&server.to_string()).as_ref(), Ok(&server));
        is_authority(&server.authority());
    }
    if let Ok(HostHeader::Value(value)) = HostHeader::parse(text) {
        assert_eq!(HostHeader::parse(&value), Ok(HostHeader::Value(value.clone())));
        is_authority(&value);
    }
    let parsers = [PublicUrl::parse, PublicUrl::parse_tcp, PublicUrl::parse_tls, PublicUrl::parse_udp];
    for parse in parsers {
        let Ok(url) = parse(text) else { continue };
        let port = url.port().map(|port| format!(":{port}"));
        assert_eq!(parse(&format!("{}{}", url.hostname(), port.unwrap_or_default())).as_ref(), Ok(&url));
    }
}

/// As the node reads it before it sends it to an upstream.
fn is_authority(text: &str) {
    let authority: Authority = text.parse().expect("an authority");
    assert!(!authority.host().is_empty() && !text.contains('@'), "{text:?}");
    assert!(authority.host().len() == text.len() || authority.port_u16().is_some(), "{text:?}");
}
