//! Taking API keys out of text that was not made by us.

use std::borrow::Cow;

/// What every API key starts with.
const PREFIX: &str = "adit_";

/// Letters and digits after the prefix from which on it is not shown: it may be a part of a key.
const SUSPICIOUS: usize = 8;

/// Letters and digits after the prefix from which on it is taken for a key. Names of files stay below.
const CERTAIN: usize = 32;

/// Whether the text holds an API key, perhaps a mistyped one.
#[must_use]
pub fn has_api_key(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(at, prefix)| {
        let after = text.get(at + prefix.len()..).unwrap_or_default();
        digits(after) >= CERTAIN
    })
}

/// The text with everything that looks like an API key shortened to `adit_…`.
#[must_use]
pub fn api_keys(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(PREFIX) {
        clean.push_str(before);
        clean.push_str(PREFIX);
        rest = after;
        if digits(after) >= SUSPICIOUS {
            clean.push('…');
            rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        }
    }
    clean.push_str(rest);
    if clean == text { Cow::Borrowed(text) } else { Cow::Owned(clean) }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_alphanumeric).count()
}

#[cfg(test)]
mod tests {
    use super::{api_keys, has_api_key};

    #[test]
    fn keys_disappear_and_the_rest_stays() {
        let cases = [
            ("", ""),
            ("nothing here", "nothing here"),
            ("adit_", "adit_"),
            ("adit_1234567", "adit_1234567"),
            ("adit_12345678", "adit_…"),
            ("unknown field `adit_abcdefghij`, expected", "unknown field `adit_…`, expected"),
            ("adit_aaaaaaaaaa adit_bbbbbbbbbb!", "adit_… adit_…!"),
            ("adit_adit_aaaaaaaaaa", "adit_adit_…"),
        ];
        for (text, clean) in cases {
            assert_eq!(api_keys(text), clean);
        }
    }

    #[test]
    fn names_of_files_are_no_keys() {
        assert!(!has_api_key("/etc/adit_production.toml"));
        assert!(!has_api_key(&format!("adit_{}", "a".repeat(31))));
        assert!(has_api_key(&format!("--authtoken=adit_{}", "a".repeat(32))));
        assert!(has_api_key(&format!("adit_adit_{}", "a".repeat(32))));
    }
}
