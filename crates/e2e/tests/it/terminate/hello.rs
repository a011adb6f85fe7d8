//! The first thing that a visitor says, however the network and its TLS cut it.

use std::sync::Arc;

use adit_e2e::{in_pieces, within};
use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{NAME, Place, Visitors, WITHIN, echo};

/// A visitor whose hello comes in records of at most so many bytes.
fn connector(place: &Place, record_bytes: Option<usize>) -> Result<TlsConnector> {
    let mut visitors = Visitors::of(place.visitors.at, &place.pair.certificate)?;
    visitors.tls.max_fragment_size = record_bytes;
    Ok(TlsConnector::from(Arc::new(visitors.tls)))
}

/// A handshake and an answer over this network.
async fn ask(connector: TlsConnector, network: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let handshake = connector.connect(ServerName::try_from(NAME)?, network);
    let mut visitor = within("a handshake", WITHIN, handshake).await??;
    visitor.write_all(b"ping").await?;
    visitor.flush().await?;
    let mut back = [0; 4];
    within("an answer", WITHIN, visitor.read_exact(&mut back)).await??;
    assert_eq!(&back, b"ping");
    Ok(())
}

/// It has a post-quantum key share, so it is longer than a network's usual packet.
#[tokio::test]
async fn it_may_come_in_any_pieces_and_records() -> Result<()> {
    let place = Place::start().await?;
    let origin = echo().await?;
    let _agent = place.agent(&origin.port(), &[]).await?;
    for piece_bytes in [1, 7, 700, 1_400, 16_384] {
        for record_bytes in [None, Some(32), Some(100), Some(512)] {
            let network = in_pieces(TcpStream::connect(place.visitors.at).await?, piece_bytes)?;
            let asked = ask(connector(&place, record_bytes)?, network).await;
            asked.with_context(|| format!("pieces of {piece_bytes}, records of {record_bytes:?}"))?;
        }
    }
    Ok(())
}
