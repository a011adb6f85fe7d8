//! F29: strangers who send garbage, half a greeting or nothing, and stay. Nobody else notices.

use adit_e2e::full;
use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::place::Place;

const GREETINGS: [&[u8]; 4] =
    [b"", b"\x16\x03\x01\x02", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", &[0xff; 4096]];

#[tokio::test]
async fn hostile_strangers_harm_nobody() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('a');
    place.ledger.spare('b');
    place.fault("strangers come");
    let mut strangers = Vec::new();
    for greeting in GREETINGS.into_iter().cycle().take(if full() { 800 } else { 200 }) {
        for port in [place.stack.https(), place.stack.http()] {
            let mut stranger = TcpStream::connect(port).await?;
            // Some are reset before they have said everything.
            drop(stranger.write_all(greeting).await);
            strangers.push(stranger);
        }
    }
    place.carried(10).await?;
    place.ledger.note(format!("{} strangers", strangers.len()));
    drop(strangers);
    place.judge().await
}
