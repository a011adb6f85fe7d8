//! Reading a header from a connection, and not one byte more.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::decode::{HeaderError, Progress, Source, decode};

/// Why there is no header.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The connection ended before its first byte, as one that only tries whether we listen.
    #[error("the connection ended at once")]
    Nothing,
    /// What came is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The connection ended or failed before the header was whole.
    #[error("the header is not whole")]
    Io(#[source] io::Error),
}

/// Reads the header in front of a connection. What follows it is the connection's first byte. No deadline of its own.
///
/// # Errors
/// See [`ReadError`]. The connection is of no use then.
pub async fn read<T: AsyncRead + Unpin>(stream: &mut T) -> Result<Source, ReadError> {
    let mut header = Vec::new();
    loop {
        let needs = match decode(&header)? {
            Progress::Whole(source) => return Ok(source),
            Progress::Needs(needs) => needs,
        };
        // The decoder's own bounds hold for it.
        let from = header.len();
        header.resize(from.saturating_add(needs), 0);
        if let Err(error) = stream.read_exact(header.get_mut(from..).unwrap_or_default()).await {
            let ended = error.kind() == io::ErrorKind::UnexpectedEof;
            return Err(if ended && from == 0 { ReadError::Nothing } else { ReadError::Io(error) });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::AsyncReadExt as _;

    use super::{ReadError, Source, read};
    use crate::proxy_protocol::{HeaderError, ProxyVersion, header};

    #[tokio::test]
    async fn what_follows_is_left() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let visitor = "192.0.2.7:258".parse().unwrap();
            let bytes = [header(version, visitor, "127.0.0.1:22".parse().unwrap()), b"SSH".to_vec()].concat();
            let mut stream = &bytes[..];
            assert_eq!(read(&mut stream).await.unwrap(), Source::Visitor(visitor));
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "SSH");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_told_by_its_reason() {
        assert!(matches!(read(&mut &b""[..]).await, Err(ReadError::Nothing)));
        assert!(matches!(read(&mut &b"PROXY TCP4 192.0.2.7 127"[..]).await, Err(ReadError::Io(_))));
        let other = read(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).await;
        assert!(matches!(other, Err(ReadError::Header(HeaderError::NotProxy))));
    }
}
