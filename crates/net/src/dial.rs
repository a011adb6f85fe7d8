//! Connecting to a name or address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use futures::stream::{FuturesUnordered, StreamExt as _};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::connection::Connection;
use crate::limits::{DIAL_ADDRESSES_MAX, DIAL_STAGGER};
use crate::socket;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address, or nobody answered the question.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Every address refused: nothing listens there.
    #[error("{host} refuses connections on port {port}")]
    Refused {
        /// The name or address that was dialled.
        host: String,
        /// The port that was dialled.
        port: u16,
        /// What the last address said.
        source: io::Error,
    },
    /// No address could be reached.
    #[error("cannot reach {host} on port {port}")]
    Unreachable {
        /// The name or address that was dialled.
        host: String,
        /// The port that was dialled.
        port: u16,
        /// What the last address said.
        source: io::Error,
    },
    /// Nothing answered in time.
    #[error("{host} did not answer on port {port} in time")]
    Deadline {
        /// The name or address that was dialled.
        host: String,
        /// The port that was dialled.
        port: u16,
    },
}

/// A connection on its way.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Connection>, DialError>> + Send + 'a>>;

/// How to reach others.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `host`, a name or an IP address, at the latest by `deadline`.
    fn dial<'a>(&'a self, host: &'a str, port: u16, deadline: Instant) -> Dialling<'a>;
}

/// Over TCP, as [`dial`] does.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16, deadline: Instant) -> Dialling<'a> {
        Box::pin(async move {
            dial(host, port, deadline).await.map(|stream| Box::new(stream) as Box<dyn Connection>)
        })
    }
}

/// Connects to `host`, a name or an IP address (IPv6 with or without brackets). The name is resolved each time.
/// `localhost` and the names below it mean 127.0.0.1 and `::1` without asking anyone (RFC 6761, section 6.3). The
/// addresses are tried in turn, each with a short head start (RFC 8305). The connection is [`tuned`](socket::tune).
///
/// # Errors
/// The name has no address, every address refused or failed, or `deadline` passed.
pub async fn dial(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, DialError> {
    let late = || DialError::Deadline { host: host.to_owned(), port };
    timeout_at(deadline, connect(host, port)).await.map_err(|_elapsed| late())?
}

/// The addresses of `host`, as [`dial`] would try them: at least one, at most [`DIAL_ADDRESSES_MAX`].
///
/// # Errors
/// The name has no address, or `deadline` passed.
pub async fn addresses(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
    let late = || DialError::Deadline { host: host.to_owned(), port };
    timeout_at(deadline, found(host, port)).await.map_err(|_elapsed| late())?
}

async fn found(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let resolved = resolve(host, port).await;
    resolved.map(in_turn).map_err(|source| DialError::Resolve { host: host.to_owned(), source })
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, DialError> {
    match first_of(found(host, port).await?).await {
        Ok(stream) => {
            socket::tune_dialled(&stream);
            Ok(stream)
        }
        Err(failure) => Err(failure.explain(host, port)),
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if is_loopback_name(host) {
        let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return Ok(both.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    }
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// RFC 6761, section 6.3.
fn is_loopback_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The families by turns, the one the resolver prefers first (RFC 8305, section 4), at most [`DIAL_ADDRESSES_MAX`].
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|at| at.is_ipv6() == preferred);
    let mut second = second.into_iter();
    let mut turns = Vec::new();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns.truncate(DIAL_ADDRESSES_MAX);
    turns
}

/// Every address failed.
struct Failure {
    all_refused: bool,
    last: io::Error,
}

impl Failure {
    fn note(before: Option<Self>, error: io::Error) -> Self {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        Self { all_refused: refused && before.is_none_or(|failure| failure.all_refused), last: error }
    }

    fn explain(self, host: &str, port: u16) -> DialError {
        let (host, source) = (host.to_owned(), self.last);
        if self.all_refused {
            DialError::Refused { host, port, source }
        } else {
            DialError::Unreachable { host, port, source }
        }
    }
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The first connection that stands. A failed attempt starts the next at once, a slow one after [`DIAL_STAGGER`].
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
    let mut waiting = addresses.into_iter();
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(Box::pin(TcpStream::connect(address)));
        }
        tokio::select! {
            outcome = attempts.next() => match outcome {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = Some(Failure::note(failure, error)),
                None => return Err(failure.unwrap_or_else(no_address)),
            },
            () = sleep(DIAL_STAGGER), if waiting.len() > 0 => {}
        }
    }
}

fn no_address() -> Failure {
    Failure { all_refused: false, last: io::Error::new(io::ErrorKind::NotFound, "the name has no address") }
}

#[cfg(test)]
mod tests;
