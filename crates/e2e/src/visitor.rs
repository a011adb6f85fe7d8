//! Whoever connects to an endpoint.

mod connection;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use rustls::RootCertStore;
use tokio::net::TcpStream;

pub use connection::Connection;

use crate::limits::STEP_WITHIN;
use crate::stack::Stack;
use crate::tls::{self, Tls};
use crate::wait::within;

/// A visitor of one endpoint, who knows its host name and finds it at 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Visitor {
    hostname: String,
    https: SocketAddr,
    http: SocketAddr,
    roots: RootCertStore,
}

impl Visitor {
    /// A visitor of `hostname`.
    pub fn new(stack: &Stack, hostname: &str) -> Result<Self> {
        let roots = tls::trust(stack.ca_file())?;
        Ok(Self { hostname: hostname.to_owned(), https: stack.https(), http: stack.http(), roots })
    }

    /// The host name.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// What `Host` says over TLS.
    #[must_use]
    pub fn https_authority(&self) -> String {
        format!("{}:{}", self.hostname, self.https.port())
    }

    /// What `Host` says in the clear.
    #[must_use]
    pub fn http_authority(&self) -> String {
        format!("{}:{}", self.hostname, self.http.port())
    }

    /// HTTP/1.1 in the clear.
    pub async fn http(&self) -> Result<Connection> {
        Connection::http1(self.tcp().await?, "http", self.http_authority()).await
    }

    /// HTTP/1.1 over TLS.
    pub async fn https(&self) -> Result<Connection> {
        Connection::http1(self.tls(&["http/1.1"]).await?, "https", self.https_authority()).await
    }

    /// HTTP/2 over TLS.
    pub async fn http2(&self) -> Result<Connection> {
        let tls = self.tls(&["h2"]).await?;
        let chosen = tls.get_ref().1.alpn_protocol();
        anyhow::ensure!(chosen == Some(b"h2"), "the server chose {chosen:?}");
        Connection::http2(tls, self.https_authority()).await
    }

    /// HTTP/1.1 in the clear to a service itself, past Adit.
    pub async fn past(address: SocketAddr) -> Result<Connection> {
        Connection::http1(open(address).await?, "http", address.to_string()).await
    }

    /// One connection of each kind.
    pub async fn each(&self) -> Result<[Connection; 3]> {
        Ok([self.http().await?, self.https().await?, self.http2().await?])
    }

    /// A bare connection to the port for plain HTTP.
    pub async fn tcp(&self) -> Result<TcpStream> {
        open(self.http).await
    }

    /// A bare TLS connection that offers these protocols.
    pub async fn tls(&self, alpn: &[&str]) -> Result<Tls> {
        self.tls_over(open(self.https).await?, alpn).await
    }

    /// The same over a connection that is there.
    pub async fn tls_over(&self, stream: TcpStream, alpn: &[&str]) -> Result<Tls> {
        tls::connect(stream, &self.hostname, &self.roots, alpn).await
    }
}

async fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = within("a connection", STEP_WITHIN, TcpStream::connect(address)).await?;
    let stream = stream.with_context(|| format!("{address} takes no connection"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
