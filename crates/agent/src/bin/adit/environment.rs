//! The environment, read here and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;

use adit_agent::config::Environment;
use adit_domain::Secret;

/// What the environment says.
pub struct Surroundings {
    /// Configuration.
    pub config: Environment,
    /// Whether colour may be used where a terminal can show it (<https://no-color.org>).
    pub color: bool,
}

impl Surroundings {
    /// Reads the environment. Empty variables count as missing.
    pub fn read() -> Self {
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            config: Environment {
                authtoken: text("ADIT_AUTHTOKEN").map(Secret::new),
                server: text("ADIT_SERVER"),
                ca_file: variable("ADIT_CA_FILE").map(PathBuf::from),
                config: variable("ADIT_CONFIG").map(PathBuf::from),
            },
            color: variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the binary reads its environment")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
