//! A network that cuts what a visitor says.

use adit_process::tasks::Tasks;
use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;

/// What fits between a visitor and the place where it is cut.
const BUFFER_BYTES: usize = 64 * 1024;

/// A way to `stream` on which every write carries at most so many bytes. What comes back is not cut.
pub fn in_pieces(stream: TcpStream, piece_bytes: usize) -> Result<DuplexStream> {
    stream.set_nodelay(true)?;
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    let (mut from_visitor, mut to_visitor) = tokio::io::split(far);
    let (mut from_node, mut to_node) = stream.into_split();
    let tasks = Tasks::new("pieces");
    tasks.spawn("in", async move { tokio::io::copy(&mut from_node, &mut to_visitor).await });
    tasks.spawn("out", async move {
        let mut piece = vec![0; piece_bytes];
        loop {
            let read = from_visitor.read(&mut piece).await?;
            if read == 0 {
                return to_node.shutdown().await;
            }
            to_node.write_all(piece.get(..read).unwrap_or_default()).await?;
        }
    });
    Ok(near)
}
