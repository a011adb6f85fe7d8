//! Bodies as tests make and read them: streamed, never held whole.

use std::convert::Infallible;
use std::io;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::limits::STEP_WITHIN;
use crate::pattern::Pattern;
use crate::wait::within;

/// A body on its way out.
pub type Body = BoxBody<Bytes, io::Error>;

/// Bytes in one piece of a patterned body. Odd, so that no border falls together with anybody's buffer.
const PIECE_BYTES: usize = 30_011;

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(never).boxed()
}

/// A body of known bytes, with its length.
#[must_use]
pub fn text(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed()
}

/// The first `bytes` bytes of the pattern `seed`, without a known length.
#[must_use]
pub fn patterned(seed: u64, bytes: u64) -> Body {
    body_of(pieces(seed, bytes).map(|piece| Ok(Frame::data(piece))))
}

/// A body of these frames.
#[must_use]
pub fn body_of(frames: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(frames))
}

/// The test's end of a body whose frames it hands out one by one. Dropping it ends the body.
#[derive(Debug)]
pub struct Parts(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Parts {
    /// A body and its end.
    #[must_use]
    pub fn channel() -> (Self, Body) {
        let (sender, receiver) = mpsc::channel(1);
        let frames = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        (Self(sender), body_of(frames))
    }

    /// Hands out the next piece.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<()> {
        self.frame(Ok(Frame::data(piece.into()))).await
    }

    /// Breaks the body.
    pub async fn cut(self) -> Result<()> {
        self.frame(Err(io::Error::other("cut by the test"))).await
    }

    async fn frame(&self, frame: io::Result<Frame<Bytes>>) -> Result<()> {
        let sent = within("the body takes another frame", STEP_WITHIN, self.0.send(frame)).await?;
        sent.ok().context("nobody reads the body any more")
    }
}

/// What tells two bodies apart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Digest {
    /// Length.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Digest {
    /// Of the first `bytes` bytes of the pattern `seed`.
    #[must_use]
    pub fn of_pattern(seed: u64, bytes: u64) -> Self {
        let mut digesting = Digesting::default();
        let mut pattern = Pattern::new(seed);
        for count in piece_sizes(bytes) {
            digesting.update(&pattern.take(count));
        }
        digesting.finish()
    }
}

/// A digest that is growing.
pub struct Digesting {
    bytes: u64,
    context: digest::Context,
}

impl Default for Digesting {
    fn default() -> Self {
        Self { bytes: 0, context: digest::Context::new(&digest::SHA256) }
    }
}

impl Digesting {
    /// Adds a piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.context.update(piece);
    }

    /// What has been added.
    pub fn finish(self) -> Digest {
        let digits: Vec<_> =
            self.context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { bytes: self.bytes, sha256: digits.concat() }
    }
}

/// Reads a body to its end, at its own speed, and says what it was and which trailers it had. A body that breaks or
/// stands still is an error.
pub async fn digest<B>(mut body: B) -> Result<(Digest, Option<HeaderMap>)>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut digesting = Digesting::default();
    let mut trailers = None;
    while let Some(frame) = within("the body goes on", STEP_WITHIN, body.frame()).await? {
        let frame = frame.with_context(|| format!("the body broke after {} bytes", digesting.bytes))?;
        match frame.into_data() {
            Ok(data) => digesting.update(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((digesting.finish(), trailers))
}

fn pieces(seed: u64, bytes: u64) -> impl Stream<Item = Bytes> {
    let mut pattern = Pattern::new(seed);
    stream::iter(piece_sizes(bytes)).map(move |count| pattern.take(count))
}

fn piece_sizes(bytes: u64) -> impl Iterator<Item = usize> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        left -= count as u64;
        (count > 0).then_some(count)
    })
}

fn never(error: Infallible) -> io::Error {
    match error {}
}
