//! A visitor's words in a line of a log.

use std::fmt::Write as _;

/// Stands for what was left out.
const MORE: char = '~';

/// `text`, at most so many bytes of it, in characters that end no field and no line: what is not visible ASCII, and the
/// quotation mark, stands there in per cent, as in a URL (RFC 3986, section 2.1).
pub(super) fn shown(text: &str, bytes_max: usize) -> String {
    let mut shown = String::new();
    for byte in text.bytes().take(bytes_max) {
        if byte.is_ascii_graphic() && byte != b'"' {
            shown.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(shown, "%{byte:02X}");
        }
    }
    if text.len() > bytes_max {
        shown.push(MORE);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::shown;
    use crate::limits::{ACCESS_METHOD_BYTES_MAX, ACCESS_PATH_BYTES_MAX};

    #[test]
    fn what_could_end_a_field_or_a_line_is_shown_in_per_cent() {
        let cases = [
            ("/a/b-c_d~e?x=%20", "/a/b-c_d~e?x=%20"),
            ("/a b\n2026 \"DEBUG\"\r\t", "/a%20b%0A2026%20%22DEBUG%22%0D%09"),
            ("/\u{1b}[2J\u{7f}\u{85}\u{202e}", "/%1B[2J%7F%C2%85%E2%80%AE"),
            ("/ü", "/%C3%BC"),
            ("", ""),
        ];
        for (text, line) in cases {
            assert_eq!(shown(text, 100), line);
        }
    }

    #[test]
    fn a_long_path_and_a_long_method_are_cut_visibly() {
        for most in [ACCESS_PATH_BYTES_MAX, ACCESS_METHOD_BYTES_MAX] {
            for (bytes, kept, is_cut) in
                [(most - 1, most - 1, false), (most, most, false), (most + 1, most, true)]
            {
                let line = shown(&"x".repeat(bytes), most);
                assert_eq!((line.trim_end_matches('~').len(), line.ends_with('~')), (kept, is_cut));
            }
        }
        // Cut within a character, it is still a line.
        assert_eq!(shown("xü", 2), "x%C3~");
    }
}
