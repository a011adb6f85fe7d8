//! HTTP/2 frames written and read by hand, because clients hide how things end.

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::limits::STEP_WITHIN;
use crate::tls::Tls;
use crate::visitor::Visitor;
use crate::wait::within;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PING: u8 = 6;
const ACK: u8 = 1;

/// A visitor's connection of which every frame is seen.
#[derive(Debug)]
pub struct RawHttp2(Tls);

/// A frame (RFC 9113 section 4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawFrame {
    /// One of the constants below, or another.
    pub kind: u8,
    /// As the kind says.
    pub flags: u8,
    /// The stream, or 0.
    pub stream: u32,
    /// What it carries.
    pub body: Vec<u8>,
}

impl RawFrame {
    /// Bytes of a body.
    pub const DATA: u8 = 0;
    /// A head, or trailers.
    pub const HEADERS: u8 = 1;
    /// The end of a stream before its end.
    pub const RST_STREAM: u8 = 3;
    /// What the peer may do.
    pub const SETTINGS: u8 = 4;
    /// The peer takes no new streams.
    pub const GOAWAY: u8 = 7;
    /// On DATA and HEADERS: nothing follows.
    pub const END_STREAM: u8 = 1;
    /// On HEADERS: they are whole.
    pub const END_HEADERS: u8 = 4;
}

impl RawHttp2 {
    /// A new connection, with its preface.
    pub async fn open(visitor: &Visitor) -> Result<Self> {
        let mut this = Self(visitor.tls(&["h2"]).await?);
        this.0.write_all(PREFACE).await?;
        this.send(RawFrame::SETTINGS, 0, 0, &[]).await?;
        Ok(this)
    }

    /// Sends a frame.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, body: &[u8]) -> Result<()> {
        let [_, high, middle, low] = u32::try_from(body.len())?.to_be_bytes();
        let head = [&[high, middle, low, kind, flags][..], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, body].concat()).await?;
        Ok(self.0.flush().await?)
    }

    /// Sends a head, without tables (RFC 7541 section 6.2.2).
    pub async fn send_head(&mut self, flags: u8, stream: u32, fields: &[(&str, &str)]) -> Result<()> {
        let mut head = Vec::new();
        for (name, value) in fields {
            head.push(0);
            for text in [name, value] {
                ensure!(text.len() < 127, "a length of one byte");
                head.push(u8::try_from(text.len())?);
                head.extend_from_slice(text.as_bytes());
            }
        }
        self.send(RawFrame::HEADERS, flags | RawFrame::END_HEADERS, stream, &head).await
    }

    /// The next frame. PINGs are answered, and not returned. The end of the connection is an error of I/O.
    pub async fn next(&mut self) -> Result<RawFrame> {
        within("a frame", STEP_WITHIN, async {
            loop {
                let frame = self.read().await?;
                if frame.kind != PING {
                    return Ok(frame);
                }
                if frame.flags & ACK == 0 {
                    self.send(PING, ACK, 0, &frame.body).await?;
                }
            }
        })
        .await?
    }

    async fn read(&mut self) -> Result<RawFrame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low]))?];
        self.0.read_exact(&mut body).await?;
        Ok(RawFrame { kind, flags, stream: u32::from_be_bytes(stream), body })
    }
}
