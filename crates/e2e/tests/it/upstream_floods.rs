//! An upstream that speaks HTTP/2 and floods: its visitors get 502, others do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_e2e::{Home, Origin, RawOrigin, Stack, Visitor};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the upstream sends without end, after its SETTINGS: PING, SETTINGS, `WINDOW_UPDATE`, HEADERS that do not end, and then
/// CONTINUATION, and resets (RFC 9113 section 6).
const FLOODS: &[(&[u8], &[u8])] = &[
    (b"", b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    (b"", b"\0\0\0\x04\0\0\0\0\0"),
    (b"", b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01"),
    (b"\0\0\x01\x01\0\0\0\0\x01\x88", b"\0\0\0\x09\0\0\0\0\x01"),
    (b"", b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"),
];
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn its_visitors_get_502_and_others_do_not_notice() -> Result<()> {
    let which = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&which);
    let hostile = RawOrigin::start(move |stream| flood(stream, now.load(Ordering::SeqCst))).await?;
    let origin = Origin::start().await?;
    let stack = Stack::start().await?;
    let bad = Home::new(&stack, &stack.tenant("mallory").await?)?;
    let mut bad_agent =
        bad.adit(&["http", &hostile.port(), "--json", "--url", "bad", "--upstream-protocol", "http2"])?;
    let good = Home::new(&stack, &stack.tenant("acme").await?)?;
    let mut good_agent = good.http(&origin.port(), Some("demo"))?;
    let bad_visitor = Visitor::new(&stack, &bad_agent.hostname().await?)?;
    let good_visitor = Visitor::new(&stack, &good_agent.hostname().await?)?;
    let mut neighbour = good_visitor.http2().await?;
    for flood in 0..FLOODS.len() {
        which.store(flood, Ordering::SeqCst);
        let response = bad_visitor.http2().await?.get("/").await?;
        assert_eq!(response.status(), 502, "flood {flood}");
        assert_eq!(neighbour.get("/bytes/10?seed=1").await?.status(), 200, "flood {flood}");
    }
    Ok(())
}

async fn flood(stream: TcpStream, which: usize) -> Result<()> {
    let (before, frame) = FLOODS.get(which).context("no such flood")?;
    let (mut read, mut write) = stream.into_split();
    // The request is there.
    let mut bytes = Vec::new();
    while !bytes.windows(9).any(|head| matches!(head, [_, _, _, 1, _, 0, 0, 0, 1])) {
        anyhow::ensure!(read.read_buf(&mut bytes).await? > 0, "no request");
    }
    let answers = async {
        tokio::io::copy(&mut read, &mut tokio::io::sink()).await?;
        Ok::<_, anyhow::Error>(())
    };
    let frames = async {
        write.write_all(&[SETTINGS, before].concat()).await?;
        loop {
            write.write_all(&frame.repeat(64)).await?;
        }
    };
    tokio::select! {
        ended = answers => ended,
        ended = frames => ended,
    }
}
