//! What the driver says: results on the standard output, what happens on the standard error stream.

use std::io::Write as _;

/// A result. A reader who went away has read enough.
pub fn line(text: &str) {
    let _gone = writeln!(std::io::stdout(), "{text}");
}

/// What happens next, or what went wrong.
pub fn note(text: &str) {
    let _gone = writeln!(std::io::stderr(), "{text}");
}
