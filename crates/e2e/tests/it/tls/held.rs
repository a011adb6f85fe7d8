//! While the agent is away for a moment, a visitor's handshake waits for it.

use std::time::{Duration, Instant};

use adit_e2e::{Signal, Visitor, within};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, Place, WITHIN};

/// How long the server waits for an agent that has vanished.
const HOLD: Duration = Duration::from_secs(15);

impl Place {
    /// As by a power cut.
    async fn lose(&mut self) -> Result<()> {
        self.agent.program().kill().await
    }

    async fn bring_back(&mut self) -> Result<()> {
        self.agent = self.home.adit(&["tls", &self.service.origin.port(), "--url", "secret", "--json"])?;
        self.agent.url().await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_handshake_waits_for_an_agent_that_comes_back() -> Result<()> {
    let mut place = Place::start().await?;
    place.lose().await?;
    let at = place.stack.https();
    let service = place.service.clone();
    let waits = async {
        let mut stream = service.visit(at).await?;
        stream.write_all(b"ping").await?;
        let mut back = [0; 4];
        within("an answer", WITHIN, stream.read_exact(&mut back)).await??;
        anyhow::Ok(back)
    };
    let (answered, back) = tokio::join!(waits, place.bring_back());
    back?;
    assert_eq!(&answered?, b"ping");
    Ok(())
}

#[tokio::test]
async fn a_handshake_waits_for_so_long_and_is_told() -> Result<()> {
    let mut place = Place::start().await?;
    place.lose().await?;
    // This visitor would believe the node's certificate.
    let visitor = Visitor::new(&place.stack, NAME)?;
    let asked = Instant::now();
    let error = visitor.tls(&["http/1.1"]).await.err().context("the node answered")?;
    assert!(format!("{error:?}").contains("InternalError"), "{error:?}");
    assert!(asked.elapsed() < 2 * HOLD, "{:?}", asked.elapsed());
    Ok(())
}

/// After a restart all agents are on their way.
#[tokio::test]
async fn a_handshake_waits_for_an_agent_that_finds_the_server_again() -> Result<()> {
    let mut place = Place::start().await?;
    place.stack.program().signal(Signal::KILL)?;
    place.stack.program().end(WITHIN).await?;
    place.stack.start_again().await?;
    place.service.visit(place.stack.https()).await?;
    Ok(())
}
