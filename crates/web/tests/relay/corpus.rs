//! What two readers could understand differently, as data. Each row says what must come of it; characters stand for
//! bytes (`\u{e9}` is one byte).

#[path = "corpus/requests.rs"]
mod requests;
#[path = "corpus/responses.rs"]
mod responses;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long one exchange may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
}

fn text_of(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// An upstream that answers each connection at once with `answer` and keeps what it was sent until the end.
struct Upstream {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    async fn answering(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                tokio::spawn(one(io, answer.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, sent }
    }

    /// What all connections were sent so far.
    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

/// Answers when the request is over: a blank line, or the end of the chunks or bytes that it announces.
async fn one(mut io: TcpStream, answer: Vec<u8>, sent: Arc<Mutex<Vec<String>>>) {
    let place = {
        let mut sent = sent.lock().unwrap();
        sent.push(String::new());
        sent.len() - 1
    };
    let (mut bytes, mut answered) = (Vec::new(), false);
    loop {
        let mut piece = [0; 4096];
        let Ok(read @ 1..) = io.read(&mut piece).await else { return };
        bytes.extend_from_slice(&piece[..read]);
        sent.lock().unwrap()[place] = text_of(&bytes);
        if !answered && is_over(&text_of(&bytes)) {
            answered = true;
            if io.write_all(&answer).await.is_err() || io.shutdown().await.is_err() {
                return;
            }
        }
    }
}

fn is_over(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => body.len() >= length.parse().unwrap(),
        None if head.contains("transfer-encoding: chunked") => body.ends_with("\r\n\r\n"),
        None => true,
    }
}

/// Everything that comes back for these bytes until the connection ends, in whichever way.
async fn visit(address: SocketAddr, bytes: &[u8]) -> String {
    let visit = async {
        let mut io = TcpStream::connect(address).await.unwrap();
        // The connection may be closed before the last byte.
        let _ = io.write_all(bytes).await;
        let mut got = Vec::new();
        let _ = io.read_to_end(&mut got).await;
        text_of(&got)
    };
    timeout(DEADLINE, visit).await.unwrap_or_else(|_| format!("nothing for {DEADLINE:?}"))
}

/// The first answer that comes back, of which the length is stated.
async fn first_answer(address: SocketAddr, bytes: &[u8]) -> String {
    let visit = async {
        let mut io = TcpStream::connect(address).await.unwrap();
        io.write_all(bytes).await.unwrap();
        let mut got = String::new();
        while !got.ends_with("\r\n\r\nok") {
            match io.read_u8().await {
                Ok(byte) => got.push(char::from(byte)),
                Err(_) => break,
            }
        }
        got
    };
    timeout(DEADLINE, visit).await.unwrap()
}
