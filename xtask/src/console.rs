//! Where xtask speaks: lines on stdout, problems on stderr. A closed pipe is not an error.

use std::io::Write as _;

/// Says something on stdout.
pub fn line(text: &str) {
    // A reader who went away (`| head`) has read enough.
    let _gone = writeln!(std::io::stdout(), "{text}");
}

/// Says on stdout what happens next.
pub fn step(text: &str) {
    line(&format!("==> {text}"));
}

/// Says on stderr what is wrong.
pub fn problem(text: &str) {
    let _gone = writeln!(std::io::stderr(), "{text}");
}
