//! The page that `try` exposes when the reader has nothing at hand: it shows the request as it arrived.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A text that every answer of the demo has and nobody else's has.
pub const MARK: &str = "You reached a service without a public address";

/// Visitors served at once; more are turned away by closing.
const VISITORS_MAX: usize = 64;

/// Bytes of a request's head that are read.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// How long a visitor may take to send a head, and to take the page.
const PATIENCE: Duration = Duration::from_secs(5);

/// A small HTTP server on loopback. Dropping it ends it.
#[derive(Debug)]
pub struct Demo {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Demo {
    /// Listens on a free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
        let address = listener.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let seen_ending = Arc::clone(&ending);
        let accepting = thread::Builder::new()
            .name("demo".into())
            .spawn(move || accept(&listener, &seen_ending))
            .context("cannot start the demo page")?;
        Ok(Self { address, ending, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // The accept loop looks up when somebody comes; if nobody can, it has ended already.
        let _woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, ending: &AtomicBool) {
    let visitors = Arc::new(AtomicUsize::new(0));
    while !ending.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, or a visitor who left already: both pass.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let seat = Seat::taken(&visitors);
        if seat.number > VISITORS_MAX {
            continue;
        }
        let serve = move || {
            let _seat = seat;
            // A visitor who goes away in the middle is no news.
            let _gone = answer(&stream);
        };
        let _refused = thread::Builder::new().name("demo visitor".into()).spawn(serve);
    }
}

/// One of the visitors served now; given back when dropped.
struct Seat {
    visitors: Arc<AtomicUsize>,
    number: usize,
}

impl Seat {
    fn taken(visitors: &Arc<AtomicUsize>) -> Self {
        let number = visitors.fetch_add(1, Ordering::Relaxed) + 1;
        Self { visitors: Arc::clone(visitors), number }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.visitors.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = String::new();
    let mut lines = BufReader::new(stream.take(HEAD_BYTES_MAX));
    while lines.read_line(&mut head)? > 2 {}
    let page = page(&head);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        page.len()
    )?;
    if !head.starts_with("HEAD ") {
        stream.write_all(page.as_bytes())?;
    }
    stream.flush()
}

fn page(head: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Adit works</title>\n\
         <style>\n\
         :root {{ color-scheme: light dark; }}\n\
         body {{ font: 14px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; }}\n\
         h1 {{ font-size: 20px; line-height: 1.25; font-weight: 600; }}\n\
         pre {{ font: 13px/1.5 ui-monospace, monospace; border: 1px solid #8886; border-radius: 6px; \
         padding: 12px; white-space: pre-wrap; overflow-wrap: anywhere; }}\n\
         </style>\n\
         <svg width=\"32\" height=\"32\" viewBox=\"0 0 32 32\" fill=\"none\" stroke=\"currentColor\" \
         stroke-width=\"2\" aria-hidden=\"true\"><path d=\"M6 29V16a10 10 0 0 1 20 0v13\"/></svg>\n\
         <h1>{MARK}</h1>\n\
         <p>This page comes from a small server on loopback. Your request went to a node of Adit, through the \
         agent's connection, and arrived like this:</p>\n<pre>{}</pre>\n</html>\n",
        escaped(head.trim_end())
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot reach loopback has failed")]

    use super::super::probe::{Answer, http};
    use super::{Demo, MARK, page};

    #[test]
    fn the_page_shows_the_request_and_a_dropped_demo_is_gone() {
        let demo = Demo::start().unwrap();
        let port = demo.port();
        assert_eq!(http("demo.localhost", port, Some(MARK)).unwrap(), Answer::Served);
        drop(demo);
        assert!(http("demo.localhost", port, Some(MARK)).is_err());
    }

    #[test]
    fn what_a_visitor_sends_is_text_on_the_page() {
        let page = page("GET /<script> HTTP/1.1\r\nHost: a&b\r\n");
        assert!(page.contains("GET /&lt;script&gt; HTTP/1.1\nHost: a&amp;b"), "{page}");
    }
}
