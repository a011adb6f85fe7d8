//! An upstream behind a hand-made agent: what it answers is written out byte by byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_mux::{Answer, Incoming, Stream};
use adit_process::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the upstream does with one request.
#[derive(Clone)]
pub enum Reply {
    /// Writes these bytes and waits for the next request.
    Bytes(Vec<u8>),
    /// Writes these bytes and ends the stream in order.
    BytesThenEnd(Vec<u8>),
    /// Ends the stream in order without a byte.
    End,
    /// Cuts the stream.
    Cut,
}

/// Counts what arrived.
#[derive(Default)]
pub struct Seen {
    pub streams: AtomicUsize,
    pub requests: AtomicUsize,
}

impl Seen {
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Serves all streams of an agent; `reply` gets the number of the stream, the number of the request on it, and the
/// request's head.
pub fn serve<R>(mut incoming: Incoming, reply: R) -> Arc<Seen>
where
    R: Fn(usize, usize, &str) -> Reply + Clone + Send + 'static,
{
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    let tasks = Tasks::new("upstream");
    let of_streams = tasks.clone();
    drop(tasks.spawn("streams", async move {
        while let Some(arrival) = incoming.next().await {
            let stream = counted.streams.fetch_add(1, Ordering::SeqCst);
            let (reply, counted) = (reply.clone(), Arc::clone(&counted));
            drop(of_streams.spawn("stream", converse(arrival.stream, stream, reply, counted)));
        }
    }));
    seen
}

async fn converse<R>(mut io: Stream, stream: usize, reply: R, seen: Arc<Seen>)
where
    R: Fn(usize, usize, &str) -> Reply,
{
    io.send_answer(Answer::Dialled).await.unwrap();
    let mut request = 0;
    while let Some(head) = head(&mut io).await {
        seen.requests.fetch_add(1, Ordering::SeqCst);
        match reply(stream, request, &head) {
            Reply::Bytes(bytes) => io.write_all(&bytes).await.unwrap(),
            Reply::BytesThenEnd(bytes) => {
                io.write_all(&bytes).await.unwrap();
                return io.shutdown().await.unwrap();
            }
            Reply::End => return io.shutdown().await.unwrap(),
            Reply::Cut => return,
        }
        io.flush().await.unwrap();
        request += 1;
    }
}

async fn head(io: &mut Stream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
