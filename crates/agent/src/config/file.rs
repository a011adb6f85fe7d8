//! The configuration file, `adit.toml`.

use std::io;
use std::path::{Path, PathBuf};

use adit_domain::ApiKey;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::{ConfigError, Source};
use crate::limits::CONFIG_BYTES_MAX;
use crate::{private_file, redact};

/// What some editors begin a file with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A value and the line that it stands on, counted from 1.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// The line.
    pub line: usize,
}

/// What the configuration file says.
#[derive(Debug, Default)]
pub struct ConfigFile {
    /// `authtoken = "adit_…"`.
    pub authtoken: Option<Placed<ApiKey>>,
    /// `server = "https://…"`, as it stands there.
    pub server: Option<Placed<String>>,
    /// `ca_file = "…"`, as it stands there.
    pub ca_file: Option<Placed<String>>,
}

/// The file's keys. Those that mean nothing are errors: a mistyped key must not be ignored in silence.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Raw {
    authtoken: Option<Spanned<String>>,
    server: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
}

/// Why an API key was not saved.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file that is there cannot be understood, so it is left alone.
    #[error(transparent)]
    Existing(#[from] ConfigError),
    /// The operating system refused.
    #[error("{} cannot be written", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl ConfigFile {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// See [`ConfigError`]. Messages name the file and the line.
    pub fn load(path: &Path) -> Result<Option<Self>, ConfigError> {
        match private_file::read(path, CONFIG_BYTES_MAX)? {
            Some(text) => Self::parse(path, &text).map(Some),
            None => Ok(None),
        }
    }

    /// Understands the text of the file at `path`.
    ///
    /// # Errors
    /// See [`ConfigError`]. Messages name the file and the line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw = parse_raw(path, text)?;
        let place = |value: Spanned<String>| Placed {
            line: line_of(text, value.span().start),
            value: value.into_inner(),
        };
        Ok(Self {
            authtoken: raw.authtoken.map(|value| parse_key(path, &place(value))).transpose()?,
            server: raw.server.map(place),
            ca_file: raw.ca_file.map(place),
        })
    }
}

/// Saves the API key in the file, which is made if it is missing. Everything else in it stays, comments too.
///
/// # Errors
/// See [`WriteError`]. The file is then as it was.
pub fn add_authtoken(path: &Path, key: &ApiKey) -> Result<(), WriteError> {
    let old = private_file::read(path, CONFIG_BYTES_MAX).map_err(ConfigError::from)?.unwrap_or_default();
    let new = with_authtoken(path, &old, key)?;
    private_file::replace(path, &new).map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

/// The text of the file at `path` with this API key, and with everything else that stands in it.
///
/// # Errors
/// See [`ConfigError`]: what is not understood is not changed.
pub fn with_authtoken(path: &Path, text: &str, key: &ApiKey) -> Result<String, ConfigError> {
    let quoted = format!("\"{}\"", key.expose());
    Ok(match parse_raw(path, text)?.authtoken {
        Some(value) => {
            let span = value.span();
            let before = text.get(..span.start).unwrap_or_default();
            let after = text.get(span.end..).unwrap_or_default();
            format!("{before}{quoted}{after}")
        }
        // First, where no table can have begun; but a byte order mark is nothing anywhere else.
        None => match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => format!("{BYTE_ORDER_MARK}authtoken = {quoted}\n{rest}"),
            None => format!("authtoken = {quoted}\n{text}"),
        },
    })
}

fn parse_raw(path: &Path, text: &str) -> Result<Raw, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        // The parser's message can repeat a key that stands where a name should; its excerpt of the line always does.
        message: redact::api_keys(error.message()).into_owned(),
    })
}

fn parse_key(path: &Path, text: &Placed<String>) -> Result<Placed<ApiKey>, ConfigError> {
    match ApiKey::parse(&text.value) {
        Ok(value) => Ok(Placed { value, line: text.line }),
        Err(reason) => Err(ConfigError::Authtoken {
            named_by: Source::File { path: path.to_owned(), line: text.line },
            reason,
        }),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
