//! Configuration of the agent: flag before environment before file before default, each value with its source.

mod file;

use std::fmt;
use std::path::{Path, PathBuf};

use adit_domain::{ApiKey, ApiKeyError};
use etcetera::BaseStrategy;
use thiserror::Error;

use crate::exit::ExitStatus;
use crate::private_file::ReadError;
use crate::server_address::{ServerAddress, ServerAddressError};

pub use file::{ConfigFile, Placed, WriteError, add_authtoken, with_authtoken};

/// The server of builds that were made for one; others must be told.
pub const DEFAULT_SERVER: Option<&str> = option_env!("ADIT_DEFAULT_SERVER");

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A flag of this name on the command line.
    Flag(&'static str),
    /// An environment variable of this name.
    Environment(&'static str),
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "{name}"),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => write!(f, "the default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its source.
    pub source: Source,
}

/// What the environment says. Read by the binary, handed in as values.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `ADIT_AUTHTOKEN`.
    pub authtoken: Option<adit_domain::Secret<String>>,
    /// `ADIT_SERVER`.
    pub server: Option<String>,
    /// `ADIT_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `ADIT_CONFIG`.
    pub config: Option<PathBuf>,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--server`.
    pub server: Option<String>,
    /// `--ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `--config`.
    pub config: Option<PathBuf>,
}

/// What all sources together say.
#[derive(Debug)]
pub struct Config {
    /// The configuration file, whether it exists or not.
    pub path: Setting<PathBuf>,
    /// Whether the configuration file exists.
    pub exists: bool,
    /// The API key.
    pub authtoken: Option<Setting<ApiKey>>,
    /// The server.
    pub server: Option<Setting<ServerAddress>>,
    /// The PEM file with the only roots that a server's certificate may lead to.
    pub ca_file: Option<Setting<PathBuf>>,
}

/// Why the configuration cannot be used. No variant repeats an API key.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no home folder to look in.
    #[error(
        "the home folder of this user is not known; say where the configuration is with --config or ADIT_CONFIG"
    )]
    NoHome,
    /// A file that was named does not exist.
    #[error("{} does not exist ({named_by})", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Who named it.
        named_by: Source,
    },
    /// The file cannot be used as it is.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is not TOML, or has a key that means nothing.
    #[error("{path}:{line}: {message}", path = .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The API key is not one.
    #[error("the API key from {named_by} cannot be used: {reason}")]
    Authtoken {
        /// Where it came from.
        named_by: Source,
        /// What is wrong with it.
        reason: ApiKeyError,
    },
    /// The server's address is not one.
    #[error("the server from {named_by} cannot be used: {reason}")]
    Server {
        /// Where it came from.
        named_by: Source,
        /// What is wrong with it.
        reason: ServerAddressError,
    },
}

impl ConfigError {
    /// How a program that needs the configuration should end.
    #[must_use]
    pub const fn status(&self) -> ExitStatus {
        match self {
            Self::Authtoken { .. } => ExitStatus::Authentication,
            _ => ExitStatus::Usage,
        }
    }
}

impl Config {
    /// Reads the file and lays the sources over each other.
    ///
    /// # Errors
    /// See [`ConfigError`]. A file that nobody named need not exist.
    pub fn load(flags: Flags, environment: Environment) -> Result<Self, ConfigError> {
        let path = path(&flags, &environment)?;
        let file = ConfigFile::load(&path.value)?;
        if file.is_none() && path.source != Source::Default {
            return Err(ConfigError::Missing { path: path.value, named_by: path.source });
        }
        let exists = file.is_some();
        let file = file.unwrap_or_default();
        Ok(Self {
            exists,
            authtoken: authtoken(environment.authtoken, file.authtoken, &path.value)?,
            server: server(flags.server, environment.server, file.server, &path.value)?,
            ca_file: flag(flags.ca_file, "--ca-file")
                .or_else(|| variable(environment.ca_file, "ADIT_CA_FILE"))
                .or_else(|| placed(file.ca_file, &path.value).map(|setting| beside(&path.value, setting))),
            path,
        })
    }

    /// Where the agent's own key is kept: `agent.key` beside the configuration file.
    #[must_use]
    pub fn agent_key_path(&self) -> PathBuf {
        self.path.value.with_file_name("agent.key")
    }
}

/// Where the configuration file is, whether it exists or not.
///
/// # Errors
/// [`ConfigError::NoHome`] if nobody named it and the user has no home folder.
pub fn path(flags: &Flags, environment: &Environment) -> Result<Setting<PathBuf>, ConfigError> {
    let named = flag(flags.config.clone(), "--config")
        .or_else(|| variable(environment.config.clone(), "ADIT_CONFIG"));
    if let Some(named) = named {
        return Ok(named);
    }
    let folders = etcetera::choose_base_strategy().map_err(|_| ConfigError::NoHome)?;
    Ok(Setting { value: folders.config_dir().join("adit").join("adit.toml"), source: Source::Default })
}

fn authtoken(
    variable: Option<adit_domain::Secret<String>>,
    file: Option<Placed<ApiKey>>,
    path: &Path,
) -> Result<Option<Setting<ApiKey>>, ConfigError> {
    let Some(text) = variable else { return Ok(placed(file, path)) };
    let source = Source::Environment("ADIT_AUTHTOKEN");
    match ApiKey::parse(text.expose()) {
        Ok(value) => Ok(Some(Setting { value, source })),
        Err(reason) => Err(ConfigError::Authtoken { named_by: source, reason }),
    }
}

fn server(
    given: Option<String>,
    in_environment: Option<String>,
    file: Option<Placed<String>>,
    path: &Path,
) -> Result<Option<Setting<ServerAddress>>, ConfigError> {
    let default = DEFAULT_SERVER.map(|text| Setting { value: text.to_owned(), source: Source::Default });
    let text = flag(given, "--server")
        .or_else(|| variable(in_environment, "ADIT_SERVER"))
        .or_else(|| placed(file, path))
        .or(default);
    let Some(Setting { value: text, source }) = text else { return Ok(None) };
    match ServerAddress::parse(&text) {
        Ok(value) => Ok(Some(Setting { value, source })),
        Err(reason) => Err(ConfigError::Server { named_by: source, reason }),
    }
}

fn flag<T>(value: Option<T>, name: &'static str) -> Option<Setting<T>> {
    value.map(|value| Setting { value, source: Source::Flag(name) })
}

fn variable<T>(value: Option<T>, name: &'static str) -> Option<Setting<T>> {
    value.map(|value| Setting { value, source: Source::Environment(name) })
}

fn placed<T, U: From<T>>(value: Option<Placed<T>>, path: &Path) -> Option<Setting<U>> {
    value.map(|Placed { value, line }| Setting {
        value: value.into(),
        source: Source::File { path: path.to_owned(), line },
    })
}

/// A path in the file is meant from the file's folder, so that it means the same wherever the agent is started.
fn beside(config: &Path, setting: Setting<PathBuf>) -> Setting<PathBuf> {
    let folder = config.parent().unwrap_or(Path::new(""));
    Setting { value: folder.join(setting.value), source: setting.source }
}

#[cfg(test)]
mod tests;
