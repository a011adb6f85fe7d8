//! A visitor: HTTP/1.1 over TCP or TLS, by hand, so that the driver takes as little of the machine as it can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::head::{self, Head};
use crate::limits::{
    BULK_BUFFER_BYTES, CONNECT_WITHIN, READ_BYTES, SMALL_BUFFER_BYTES, STALLED_RECEIVE_BYTES,
};
use crate::pattern::Pattern;

/// Where visitors connect, and what they ask for.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    host: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Small requests.
    Small,
    /// Large bodies.
    Bulk,
    /// A large body that is not read.
    Stall,
}

/// A visitor's connection.
pub struct Visitor {
    link: Link,
    /// Bytes that arrived and belong to the answer that is being read.
    buffer: Vec<u8>,
}

enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
}

impl Target {
    /// In the clear.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, host: "localhost".into(), tls: None }
    }

    /// Over TLS 1.3. The server must prove its name to `roots`. Every connection is a full handshake with X25519: the
    /// key exchange that all systems have, so that all do the same work.
    pub fn tls(address: SocketAddr, host: &str, roots: RootCertStore) -> Result<Self> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Self { address, host: host.into(), tls: Some((TlsConnector::from(Arc::new(config)), name)) })
    }

    /// A request as its bytes. `fields` are whole lines.
    pub fn request(&self, method: &str, path: &str, fields: &str) -> Vec<u8> {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.host).into_bytes()
    }

    /// Connects.
    pub async fn connect(&self, purpose: Purpose) -> Result<Visitor> {
        let link = tokio::time::timeout(CONNECT_WITHIN, self.link(purpose)).await;
        let link = link.with_context(|| format!("no connection within {}", seconds(CONNECT_WITHIN)))??;
        Ok(Visitor { link, buffer: Vec::with_capacity(1024) })
    }

    async fn link(&self, purpose: Purpose) -> Result<Link> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if purpose == Purpose::Stall {
            socket.set_recv_buffer_size(STALLED_RECEIVE_BYTES)?;
        }
        let stream = socket.connect(self.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else { return Ok(Link::Plain(stream)) };
        let bytes = if purpose == Purpose::Bulk { BULK_BUFFER_BYTES } else { SMALL_BUFFER_BYTES };
        let stream = BufReader::with_capacity(bytes, stream);
        let stream = connector.connect(name.clone(), stream).await.context("the TLS handshake failed")?;
        Ok(Link::Tls(Box::new(stream)))
    }
}

impl Visitor {
    /// Sends bytes, all of them.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.link {
            Link::Plain(stream) => stream.write_all(bytes).await?,
            Link::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends the first bytes of the pattern as a body.
    pub async fn send_body(&mut self, pattern: &Pattern, body_bytes: u64) -> Result<()> {
        let mut sent = 0;
        while sent < body_bytes {
            let bytes = upto(pattern.from(sent), body_bytes - sent);
            match &mut self.link {
                Link::Plain(stream) => stream.write_all(bytes).await?,
                Link::Tls(stream) => stream.write_all(bytes).await?,
            }
            sent += bytes.len() as u64;
        }
        self.send(&[]).await
    }

    /// Reads a short answer of whatever status, and returns that.
    pub async fn status(&mut self) -> Result<u16> {
        let head = self.any_head().await?;
        self.short_body(head).await?;
        Ok(head.status)
    }

    /// Reads the head of an answer, which must be 200. What arrived of its body waits for the next call.
    pub async fn head(&mut self) -> Result<Head> {
        let head = self.any_head().await?;
        ensure!(head.status == 200, "status {}", head.status);
        Ok(head)
    }

    async fn any_head(&mut self) -> Result<Head> {
        loop {
            if let Some(head) = head::parse(&self.buffer)? {
                self.buffer.drain(..head.own_bytes);
                return Ok(head);
            }
            ensure!(self.read_more().await? > 0, "the connection ended before an answer");
        }
    }

    /// Reads a short body whole.
    pub async fn short_body(&mut self, head: Head) -> Result<Vec<u8>> {
        let body_bytes = usize::try_from(head.body_bytes)?;
        while self.buffer.len() < body_bytes {
            ensure!(self.read_more().await? > 0, "the connection ended within an answer");
        }
        ensure!(self.buffer.len() == body_bytes, "more than the answer came");
        Ok(std::mem::take(&mut self.buffer))
    }

    /// One small request, whose answer's body must be `expected`.
    pub async fn exchange(&mut self, request: &[u8], expected: &[u8]) -> Result<()> {
        self.send(request).await?;
        let head = self.head().await?;
        while (self.buffer.len() as u64) < head.body_bytes {
            ensure!(self.read_more().await? > 0, "the connection ended within an answer");
        }
        ensure!(self.buffer == expected, "another answer than the origin's");
        self.buffer.clear();
        Ok(())
    }

    /// Reads a large body and throws it away. Its length is checked, and its content in samples. `seen` hears how many
    /// bytes came.
    pub async fn large_body(
        &mut self,
        head: Head,
        pattern: &Pattern,
        mut seen: impl FnMut(u64),
    ) -> Result<()> {
        let first = std::mem::take(&mut self.buffer);
        ensure!(pattern.looks_right(0, &first), "the first bytes are wrong");
        let mut have = first.len() as u64;
        seen(have);
        let mut room = vec![0; READ_BYTES];
        while have < head.body_bytes {
            let count = match &mut self.link {
                Link::Plain(stream) => stream.read(&mut room).await?,
                Link::Tls(stream) => stream.read(&mut room).await?,
            };
            if count == 0 {
                bail!("the body ended after {have} of {} bytes", head.body_bytes);
            }
            let bytes = room.get(..count).unwrap_or_default();
            ensure!(pattern.looks_right(have, bytes), "wrong bytes near {have}");
            have += count as u64;
            seen(count as u64);
        }
        ensure!(have == head.body_bytes, "{have} bytes came instead of {}", head.body_bytes);
        Ok(())
    }

    async fn read_more(&mut self) -> Result<usize> {
        Ok(match &mut self.link {
            Link::Plain(stream) => stream.read_buf(&mut self.buffer).await?,
            Link::Tls(stream) => stream.read_buf(&mut self.buffer).await?,
        })
    }
}

fn upto(bytes: &[u8], count: u64) -> &[u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    bytes.get(..count.min(bytes.len())).unwrap_or_default()
}

/// A time as text.
pub fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
