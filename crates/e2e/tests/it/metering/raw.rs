//! Endpoints beside the scene's own, with every byte counted at both ends.

use std::net::SocketAddr;
use std::time::Duration;

use adit_e2e::{Agent, Counted, GrpcOrigin, Ledger, RawOrigin, Scene, SelfSigned, Side, Speaks, Visitor};
use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "sealed.localhost";

/// A tcp and a tls endpoint, and one whose upstream speaks HTTP/2 in the clear. All of them send everything back.
pub(super) struct Raw {
    tcp: SocketAddr,
    tls: SocketAddr,
    connector: TlsConnector,
    calls: Visitor,
    _callee: GrpcOrigin,
    agents: [Agent; 3],
}

impl Raw {
    /// What the upstreams see is written down where the scene's own origin writes.
    pub(super) async fn start(scene: &Scene) -> Result<Self> {
        let seen = scene.origin.ledger();
        let keys = SelfSigned::new(NAME)?;
        let (acceptor, connector) = (keys.acceptor(&[]), keys.connector()?);
        let plain = RawOrigin::start({
            let seen = seen.clone();
            move |stream| echo(Counted::new(stream, seen.clone(), Side::Upstream))
        });
        let sealed = RawOrigin::start({
            let seen = seen.clone();
            move |stream| {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                async move { echo(acceptor.accept(Counted::new(stream, seen, Side::Upstream)).await?).await }
            }
        });
        let (plain, sealed) = (plain.await?.port(), sealed.await?.port());
        let mut tcp = scene.home.adit(&["tcp", &plain, "--json"])?;
        let mut tls = scene.home.adit(&["tls", &sealed, "--url", "sealed", "--json"])?;
        let url = tcp.url().await?;
        tls.url().await?;
        let callee = GrpcOrigin::start_counting(Speaks::Http2, None, seen.clone()).await?;
        let upstream = callee.port();
        let arguments = ["http", &upstream, "--upstream-protocol", "http2", "--url", "calls", "--json"];
        let mut http2 = scene.home.adit(&arguments)?;
        let calls = Visitor::new(&scene.stack, &http2.hostname().await?)?;
        let port = url.rsplit(':').next().context("no port")?.parse()?;
        let tcp_address = SocketAddr::from(([127, 0, 0, 1], port));
        let (tls_address, agents) = (scene.stack.https(), [tcp, tls, http2]);
        Ok(Self { tcp: tcp_address, tls: tls_address, connector, calls, _callee: callee, agents })
    }

    /// Waits until all are served again by a node that has just begun.
    pub(super) async fn back(&mut self, within: Duration) -> Result<()> {
        for agent in &mut self.agents {
            agent.event("url_assigned", within).await?;
        }
        Ok(())
    }

    /// A connection to the tcp endpoint.
    pub(super) async fn tcp(&self, seen: &Ledger) -> Result<Counted<TcpStream>> {
        Ok(Counted::new(TcpStream::connect(self.tcp).await?, seen.clone(), Side::Visitor))
    }

    /// The same to the tls endpoint. The handshake is carried like everything else.
    pub(super) async fn tls(&self, seen: &Ledger) -> Result<TlsStream<Counted<TcpStream>>> {
        let stream = Counted::new(TcpStream::connect(self.tls).await?, seen.clone(), Side::Visitor);
        Ok(self.connector.connect(ServerName::try_from(NAME)?, stream).await?)
    }

    /// A visitor of the one that speaks HTTP/2.
    pub(super) const fn calls(&self) -> &Visitor {
        &self.calls
    }
}

async fn echo(stream: impl AsyncRead + AsyncWrite) -> Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    tokio::io::copy(&mut reading, &mut writing).await?;
    Ok(writing.shutdown().await?)
}
