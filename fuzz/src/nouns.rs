//! Texts that people and programs write.

use adit_domain::{ApiKey, Hostname};

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
