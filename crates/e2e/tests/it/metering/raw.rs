//! Endpoints whose connections pass as they are, with every byte counted at both ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{Agent, Counted, Ledger, Pattern, RawOrigin, Scene, Side};
use anyhow::{Context as _, Result, ensure};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const NAME: &str = "sealed.localhost";

/// A tcp and a tls endpoint beside the scene's own, with upstreams that send everything back.
pub(super) struct Raw {
    tcp: SocketAddr,
    tls: SocketAddr,
    connector: TlsConnector,
    agents: [Agent; 2],
}

impl Raw {
    /// What the upstreams see is written down where the scene's own origin writes.
    pub(super) async fn start(scene: &Scene) -> Result<Self> {
        let seen = scene.origin.ledger();
        let (acceptor, connector) = keys()?;
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
        let port = url.rsplit(':').next().context("no port")?.parse()?;
        let tcp_address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self { tcp: tcp_address, tls: scene.stack.https(), connector, agents: [tcp, tls] })
    }

    /// Waits until both are served again by a node that has just begun.
    pub(super) async fn back(&mut self, within: Duration) -> Result<()> {
        for agent in &mut self.agents {
            agent.event("url_assigned", within).await?;
        }
        Ok(())
    }

    /// A connection to the tcp endpoint.
    pub(super) async fn tcp(&self, seen: &Ledger, bytes: u64) -> Result<()> {
        let stream = TcpStream::connect(self.tcp).await?;
        there_and_back(Counted::new(stream, seen.clone(), Side::Visitor), bytes).await
    }

    /// The same to the tls endpoint. The handshake is carried like everything else.
    pub(super) async fn tls(&self, seen: &Ledger, bytes: u64) -> Result<()> {
        let stream = Counted::new(TcpStream::connect(self.tls).await?, seen.clone(), Side::Visitor);
        let stream = self.connector.connect(ServerName::try_from(NAME)?, stream).await?;
        there_and_back(stream, bytes).await
    }
}

async fn echo(stream: impl AsyncRead + AsyncWrite) -> Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    tokio::io::copy(&mut reading, &mut writing).await?;
    Ok(writing.shutdown().await?)
}

/// To the end of both directions, so that both ends have seen the same.
async fn there_and_back(stream: impl AsyncRead + AsyncWrite, bytes: u64) -> Result<()> {
    let sent = Pattern::new(bytes).take(usize::try_from(bytes)?);
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut back = Vec::new();
    let write = async {
        writing.write_all(&sent).await?;
        writing.shutdown().await
    };
    tokio::try_join!(write, reading.read_to_end(&mut back))?;
    ensure!(back == sent, "{} bytes came back of {}", back.len(), sent.len());
    Ok(())
}

fn keys() -> Result<(TlsAcceptor, TlsConnector)> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![NAME.to_owned()])?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let client = client.with_root_certificates(roots).with_no_client_auth();
    Ok((TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client))))
}
