//! The head of a response, read strictly and without a copy.

use anyhow::{Context as _, Result, bail, ensure};

use crate::limits::HEAD_BYTES_MAX;

/// What a response's head says, as far as the loads need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The length of the body. Every answer of the origin has one, and whoever forwards it keeps it.
    pub body_bytes: u64,
    /// The length of the head itself, empty line included.
    pub own_bytes: usize,
}

/// The head at the begin of `bytes`; `None` while it is not whole (RFC 9112, sections 4 and 5).
pub fn parse(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        ensure!(bytes.len() <= HEAD_BYTES_MAX, "a response head of more than {HEAD_BYTES_MAX} bytes");
        return Ok(None);
    };
    let mut lines = bytes.get(..end).unwrap_or_default().split(|byte| *byte == b'\n');
    let status = status(lines.next().unwrap_or_default()).context("no status line of HTTP/1.1")?;
    let mut body_bytes = None;
    for line in lines {
        if let Some(value) = value_of(line, "content-length") {
            let value = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok());
            body_bytes = Some(value.context("a length that is no number")?);
        } else if value_of(line, "transfer-encoding").is_some() {
            bail!("a response without a length, status {status}");
        }
    }
    let body_bytes = body_bytes.with_context(|| format!("a response without a length, status {status}"))?;
    Ok(Some(Head { status, body_bytes, own_bytes: end + 4 }))
}

fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// The value of a field line, if it has this name.
pub fn value_of<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (have, value) = line.split_at_checked(name.len())?;
    if have.eq_ignore_ascii_case(name.as_bytes()) { value.strip_prefix(b":") } else { None }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{Head, parse};
    use crate::limits::HEAD_BYTES_MAX;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  12 \r\n\r\nhello";
        let whole = bytes.len() - 5;
        for cut in 0..whole {
            assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        let head = Head { status: 200, body_bytes: 12, own_bytes: whole };
        assert_eq!(parse(&bytes[..whole]).unwrap(), Some(head));
        assert_eq!(parse(bytes).unwrap(), Some(head));
    }

    #[test]
    fn what_is_not_an_answer_with_a_length_is_refused() {
        for wrong in [
            "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\ncontent-length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_refused() {
        assert_eq!(parse(&vec![b'a'; HEAD_BYTES_MAX]).unwrap(), None);
        assert!(parse(&vec![b'a'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
