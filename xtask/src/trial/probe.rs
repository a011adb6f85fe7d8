//! Asking a public URL, the way a visitor would.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::job;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Codes of the answers that say: the agent is there, and its upstream is not.
const UPSTREAM_AWAY: [&str; 2] = ["ADIT-2002", "ADIT-2003"];

/// What a public URL answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The upstream answered.
    Served,
    /// The agent is reached, and nothing listens behind it.
    NoUpstream,
    /// The node answers for itself: the tunnel is not there yet.
    NoTunnel,
}

/// What the HTTPS URL answers to curl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Https {
    /// An answer came over TLS that the CA file vouches for.
    Served,
    /// None came, or it was not trusted.
    Failed,
    /// There is no curl here to ask with.
    NotTried,
}

/// Asks the plain HTTP listener on loopback for a host's page; a page without the mark is not the one wanted.
pub fn http(host: &str, port: u16, mark: Option<&str>) -> Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("cannot connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")
        .context("cannot ask")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).context("no answer")?;
    judge(&String::from_utf8_lossy(&answer), mark)
}

/// Asks an HTTPS URL with curl, trusting the CA file alone. Any status is an answer.
pub fn https(url: &str, ca_file: &Path) -> Https {
    if !job::answers(Command::new("curl").arg("--version")) {
        return Https::NotTried;
    }
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "10", "--cacert"]).arg(ca_file).arg(url);
    if job::answers(&mut curl) { Https::Served } else { Https::Failed }
}

fn judge(answer: &str, mark: Option<&str>) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut codes =
        fields.filter(|(name, _)| name.eq_ignore_ascii_case("adit-error")).map(|(_, code)| code.trim());
    match codes.next() {
        Some(code) if UPSTREAM_AWAY.contains(&code) => Ok(Answer::NoUpstream),
        Some(_) => Ok(Answer::NoTunnel),
        None if mark.is_none_or(|mark| body.contains(mark)) => Ok(Answer::Served),
        None => bail!("another page answers"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose answer is refused has failed")]

    use super::{Answer, judge};

    #[test]
    fn who_answers_is_told_by_the_header_of_the_node() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Answer::Served),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", Answer::Served),
            ("HTTP/1.1 502 Bad Gateway\r\nadit-error: ADIT-2002\r\n\r\n", Answer::NoUpstream),
            ("HTTP/1.1 502 Bad Gateway\r\nadit-error: ADIT-2006\r\n\r\n", Answer::NoTunnel),
            ("HTTP/1.1 503 Service Unavailable\r\nAdit-Error: ADIT-2001\r\n\r\n", Answer::NoTunnel),
        ];
        for (text, answer) in cases {
            assert_eq!(judge(text, None).unwrap(), answer, "{text}");
        }
    }

    #[test]
    fn a_page_without_the_mark_is_not_the_one() {
        assert!(judge("HTTP/1.1 200 OK\r\n\r\nhello", Some("the mark")).is_err());
        assert_eq!(judge("HTTP/1.1 200 OK\r\n\r\nthe mark", Some("the mark")).unwrap(), Answer::Served);
        assert!(judge("HTTP/1.1 200 OK\r\n", None).is_err());
    }
}
