//! Where the database is.

use std::path::PathBuf;

use adit_domain::Secret;
use thiserror::Error;

/// Where the database is, and so which engine. A Postgres URL may hold a password: it is never shown.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// `postgres://…`
    Postgres(Secret<String>),
}

/// Why a text does not say where a database is. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// Another scheme, or none.
    #[error("a database URL starts with postgres://, postgresql:// or sqlite:")]
    Scheme,
    /// `sqlite:` without a file.
    #[error("sqlite: needs the path of a file")]
    NoFile,
    /// A parameter that is not known, perhaps a mistyped one with a password. The driver would log it with its value.
    #[error("the database URL has a parameter that is not known; known are {}", PARAMETERS.join(", "))]
    Parameter,
}

/// What may stand behind the `?` of a Postgres URL.
const PARAMETERS: [&str; 12] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "options",
];

impl DatabaseUrl {
    /// Parses `postgres://…`, `postgresql://…`, or `sqlite:PATH` (also `sqlite://PATH`).
    ///
    /// # Errors
    /// See [`DatabaseUrlError`].
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if !parameters(text).all(|name| PARAMETERS.contains(&name)) {
                return Err(DatabaseUrlError::Parameter);
            }
            return Ok(Self::Postgres(Secret::new(text.to_owned())));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(DatabaseUrlError::NoFile);
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

/// The names of a URL's parameters, as they are written.
fn parameters(url: &str) -> impl Iterator<Item = &str> {
    let before_fragment = url.split('#').next().unwrap_or_default();
    let query = before_fragment.split_once('?').map_or("", |(_, query)| query);
    query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{DatabaseUrl, DatabaseUrlError};

    #[test]
    fn the_scheme_selects_the_engine() {
        for (text, path) in
            [("sqlite:a.db", "a.db"), ("sqlite:///var/a.db", "/var/a.db"), ("sqlite:/a b", "/a b")]
        {
            assert!(
                matches!(DatabaseUrl::parse(text), Ok(DatabaseUrl::Sqlite(p)) if p == Path::new(path)),
                "{text}"
            );
        }
        assert!(matches!(DatabaseUrl::parse("postgres://u:p@h/d"), Ok(DatabaseUrl::Postgres(_))));
        assert!(matches!(DatabaseUrl::parse("postgresql://h/d"), Ok(DatabaseUrl::Postgres(_))));
        assert_eq!(DatabaseUrl::parse("mysql://h/d").err(), Some(DatabaseUrlError::Scheme));
        assert_eq!(DatabaseUrl::parse("").err(), Some(DatabaseUrlError::Scheme));
        assert_eq!(DatabaseUrl::parse("sqlite:").err(), Some(DatabaseUrlError::NoFile));
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused_unseen() {
        for text in ["postgres://h/d?passwd=canary", "postgres://h/d?sslmode=require&x=canary#y"] {
            let error = DatabaseUrl::parse(text).err();
            assert_eq!(error, Some(DatabaseUrlError::Parameter), "{text}");
            assert!(error.is_some_and(|error| !error.to_string().contains("canary")));
        }
        for text in
            ["postgres://h/d?", "postgres:///d?host=/run/pg&port=1&sslmode=disable", "postgres://h/d#?x=1"]
        {
            assert!(matches!(DatabaseUrl::parse(text), Ok(DatabaseUrl::Postgres(_))), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url = DatabaseUrl::parse("postgres://u:canary@h/d");
        assert!(!format!("{url:?}").contains("canary"));
    }
}
