//! How a stream can fail.

use std::io;

use adit_wire::record::{AbortCode, RecordError, RecordKind};

use crate::stream::Answer;

/// Why an operation on a stream failed. As the source of an [`io::Error`] it is found again by [`StreamError::of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream or its connection ended without a word: what was read is incomplete.
    #[error("stream was cut")]
    Cut,
    /// The peer gave the stream up and said why.
    #[error("stream was aborted by the peer: {0}")]
    Aborted(AbortCode),
    /// The peer sent something that is no record.
    #[error("invalid record")]
    Record(#[from] RecordError),
    /// The peer sent a record that has no place here.
    #[error("record {0:?} out of place")]
    OutOfPlace(RecordKind),
    /// The peer sent more data before our answer than it may.
    #[error("too much data before the answer")]
    TooEarly,
    /// The agent did not reach the upstream, so there is nothing to read.
    #[error("upstream not reached: {0:?}")]
    NotReached(Answer),
    /// Writing after the end of this direction, or before [`crate::Stream::send_answer`].
    #[error("stream is not open for writing")]
    NotWritable,
}

impl StreamError {
    /// The stream's error inside an I/O error, if that is where it comes from.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::NotWritable => io::ErrorKind::BrokenPipe,
            StreamError::Record(_) | StreamError::OutOfPlace(_) | StreamError::TooEarly => {
                io::ErrorKind::InvalidData
            }
            StreamError::Cut | StreamError::Aborted(_) | StreamError::NotReached(_) => {
                io::ErrorKind::ConnectionReset
            }
        };
        Self::new(kind, error)
    }
}

/// Which side failed while bytes were moved from one to the other.
#[derive(Debug)]
pub(crate) enum FromIoError {
    Io(io::Error),
    Stream(StreamError),
}
