//! What can be wrong with the body of a frame.

use thiserror::Error;

/// The rule that a frame's body breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// It ends too early.
    #[error("body ends too early")]
    Short,
    /// It goes on after its last field.
    #[error("body goes on after its last field")]
    Long,
    /// A text is longer than its bound.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// A text is not UTF-8, or has a character that is not allowed.
    #[error("{0} has a character that is not allowed")]
    Character(&'static str),
    /// A host name that is none, or not in canonical form.
    #[error("host name is invalid")]
    Hostname,
    /// A number that has no meaning in this version, in a field where that cannot be ignored.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its number.
        value: u16,
    },
}
