//! An upstream that behaves as no HTTP library would.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::limits::STEP_WITHIN;
use crate::wait::within;

/// Bytes of the longest head that [`head_of`] takes.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// A TCP server on a port of its own whose connections a test handles. Ends with the test's runtime.
#[derive(Debug)]
pub struct RawOrigin {
    address: SocketAddr,
}

impl RawOrigin {
    /// Starts to listen, and hands each connection to `handle`.
    pub async fn start<H, F>(handle: H) -> Result<Self>
    where
        H: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for an origin")?;
        let address = listener.local_addr()?;
        let tasks = Tasks::new("raw origin");
        let (handle, connections) = (Arc::new(handle), tasks.clone());
        tasks.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn("connection", handle(stream));
            }
        });
        Ok(Self { address })
    }

    /// One that sends everything back, and ends when the visitor has.
    pub async fn echo() -> Result<Self> {
        Self::start(|mut stream| async move {
            let (mut reading, mut writing) = stream.split();
            tokio::io::copy(&mut reading, &mut writing).await?;
            Ok(writing.shutdown().await?)
        })
        .await
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }
}

/// Reads the head of an HTTP/1.1 message, and not one byte more.
pub async fn head_of<S: AsyncRead + Unpin>(stream: &mut S) -> Result<String> {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < HEAD_BYTES_MAX, "an endless head");
            head.push(
                stream.read_u8().await.with_context(|| format!("after {} bytes of a head", head.len()))?,
            );
        }
        Ok(())
    };
    within("a whole head", STEP_WITHIN, read).await??;
    Ok(String::from_utf8(head)?)
}
