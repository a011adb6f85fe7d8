//! What to do after an accept that failed.

use std::io::{self, ErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// That connection is gone; the next one is not concerned.
    Next,
    /// The process or system lacks something (EMFILE, ENFILE, ENOBUFS, ENOMEM), or the cause is unknown: trying again
    /// at once would spin.
    Wait,
}

/// On Linux, accept also reports network errors that were pending on the new connection.
pub(super) fn cure(error: &io::Error) -> Cure {
    match error.kind() {
        ErrorKind::ConnectionAborted
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::TimedOut
        | ErrorKind::Interrupted => Cure::Next,
        _ => Cure::Wait,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Cure, cure};

    #[test]
    fn only_a_connection_that_is_gone_is_passed_over_at_once() {
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset] {
            assert_eq!(cure(&io::Error::from(kind)), Cure::Next);
        }
        for kind in [io::ErrorKind::OutOfMemory, io::ErrorKind::PermissionDenied, io::ErrorKind::Other] {
            assert_eq!(cure(&io::Error::from(kind)), Cure::Wait);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_lack_of_descriptors_waits() {
        let codes = [23, 24]; // ENFILE, EMFILE
        for code in codes {
            assert_eq!(cure(&io::Error::from_raw_os_error(code)), Cure::Wait);
        }
    }
}
