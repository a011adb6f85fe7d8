//! Host names in their one canonical form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{HOSTNAME_BYTES_MAX, LABEL_BYTES_MAX};

/// A DNS host name in canonical form: lower-case ASCII, no trailing dot, labels of letters, digits and inner hyphens
/// (RFC 1123, section 2.1). International names arrive in their ASCII form (`xn--…`, RFC 5890).
///
/// Two names that resolve alike compare equal, so routing, authorisation and metering can all key on this value.
/// An IPv4 address is not a host name: the last label must not be all digits (RFC 3696, section 2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(Box<str>);

/// Why a text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostnameError {
    /// Nothing, or only a dot.
    #[error("host name is empty")]
    Empty,
    /// More than [`HOSTNAME_BYTES_MAX`] bytes.
    #[error("host name is longer than 253 bytes")]
    TooLong,
    /// One of its labels is not a valid label.
    #[error("host name has an invalid label: {0}")]
    Label(LabelError),
    /// The last label is all digits, as in an IPv4 address.
    #[error("the last label of a host name cannot be a number")]
    Numeric,
}

impl Hostname {
    /// Parses and canonicalises a host name: case is folded, one trailing dot is dropped.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(HostnameError::Empty);
        }
        if text.len() > HOSTNAME_BYTES_MAX {
            return Err(HostnameError::TooLong);
        }
        let mut last = "";
        for label in text.split('.') {
            check_label(label).map_err(HostnameError::Label)?;
            last = label;
        }
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HostnameError::Numeric);
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether this name is exactly one label below `parent`.
    #[must_use]
    pub fn is_direct_child_of(&self, parent: &Hostname) -> bool {
        self.0.split_once('.').is_some_and(|(_, rest)| rest == parent.as_str())
    }

    /// The name one `label` below this one.
    ///
    /// # Errors
    /// [`HostnameError::TooLong`] if the whole is longer than [`HOSTNAME_BYTES_MAX`] bytes.
    pub fn child(&self, label: &Label) -> Result<Self, HostnameError> {
        Self::parse(&format!("{label}.{self}"))
    }
}

/// One label of a host name, in canonical form: what a person writes as the name of an endpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

/// Why a text is not a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LabelError {
    /// No characters.
    #[error("it is empty")]
    Empty,
    /// More than [`LABEL_BYTES_MAX`] bytes.
    #[error("it is longer than 63 bytes")]
    TooLong,
    /// A character that is no letter, digit or hyphen.
    #[error("only letters, digits and hyphens are allowed")]
    Character,
    /// A hyphen at its start or end.
    #[error("it starts or ends with a hyphen")]
    Hyphen,
}

impl Label {
    /// Parses and canonicalises one label.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        check_label(text)?;
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_label(label: &str) -> Result<(), LabelError> {
    if label.is_empty() {
        return Err(LabelError::Empty);
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(LabelError::TooLong);
    }
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(LabelError::Character);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(LabelError::Hyphen);
    }
    Ok(())
}

macro_rules! text_type {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_string()
            }
        }
    };
}

text_type!(Hostname, HostnameError);
text_type!(Label, LabelError);

#[cfg(test)]
mod tests;
