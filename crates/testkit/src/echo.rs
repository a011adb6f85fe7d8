//! A TCP peer that sends back what it gets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;

/// A TCP peer on a port of its own that sends back every byte, and ends its side when the other ends. Threads, so that
/// it goes on while a test blocks its runtime.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Echo {
    /// Starts to listen on `127.0.0.1`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        thread::Builder::new().name("echo".into()).spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    thread::spawn(move || echo(stream));
                }
            }
        })?;
        Ok(Self { address, stopped })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address); // wakes the listener, which then sees that it has to stop
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if buffer.get(..n).is_none_or(|bytes| stream.write_all(bytes).is_err()) {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write); // the other side is gone already
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};

    use super::Echo;

    #[test]
    fn what_is_sent_comes_back() {
        let echo = Echo::start().unwrap();
        let mut stream = TcpStream::connect(echo.address()).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
