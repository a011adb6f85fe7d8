//! How the program's end is told to whoever started it.

/// The exit statuses of `adit`. A service manager restarts on [`ExitStatus::Retryable`] and on nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// Done, or asked to end by its service manager.
    Success,
    /// Something of this computer failed; another try may help.
    Retryable,
    /// The command line or the configuration is wrong.
    Usage,
    /// The API key is missing, wrong or revoked.
    Authentication,
    /// The server refused for good: another try would be refused too.
    Refused,
    /// Ctrl-C.
    Interrupted,
}

impl ExitStatus {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Retryable => 1,
            Self::Usage => 2,
            Self::Authentication => 4,
            Self::Refused => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus::{Authentication, Interrupted, Refused, Retryable, Success, Usage};

    #[test]
    fn numbers_never_change() {
        let codes =
            [Success, Retryable, Usage, Authentication, Refused, Interrupted].map(super::ExitStatus::code);
        assert_eq!(codes, [0, 1, 2, 4, 5, 130]);
    }
}
