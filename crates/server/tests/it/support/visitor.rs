//! A visitor that writes its requests byte by byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use adit_net::tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::node::TestNode;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Visitor(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A response with a length.
#[derive(Debug)]
pub struct Response {
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Visitor {
    pub async fn connect(node: SocketAddr) -> Self {
        Self(Box::new(TcpStream::connect(node).await.unwrap()))
    }

    /// Over plain HTTP, however the node is reached.
    pub async fn plain(node: &TestNode) -> Self {
        Self(Box::new(node.dial_http().await))
    }

    /// One whose end is a reset, so that nobody takes it for half of an end.
    pub async fn connect_to_reset(node: SocketAddr) -> Self {
        let stream = TcpStream::connect(node).await.unwrap();
        adit_net::socket::reset_on_drop(&stream);
        Self(Box::new(stream))
    }

    /// From this address of the loopback network; `None` if the node does not take the connection.
    pub async fn connect_from(from: Ipv4Addr, node: SocketAddr) -> Option<Self> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Some(Self(Box::new(socket.connect(node).await.ok()?)))
    }

    /// Over TLS, to this name; `None` if the node does not take the connection.
    pub async fn connect_tls(node: &TestNode, host: &str) -> Option<Self> {
        let config = tls::agent_client(&node.roots, b"http/1.1").unwrap();
        let io = node.dial_https().await;
        let tls = tls::connect(config, host, io, Instant::now() + PATIENCE).await.ok()?;
        Some(Self(Box::new(tls)))
    }

    /// Whether the node has closed the connection, or does so without another byte.
    pub async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.0.read(&mut [0])).await;
        !matches!(read.expect("an end in time"), Ok(1))
    }

    pub async fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        self.response().await
    }

    /// Gives the bytes away; whoever does not take them shows that when an answer is expected.
    pub async fn send(&mut self, bytes: &str) {
        let _ = self.0.write_all(bytes.as_bytes()).await;
    }

    /// A response, or `None` if the connection ends without a byte of one.
    pub async fn response_or_end(&mut self) -> Option<Response> {
        let first = tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("an answer in time");
        let mut head = vec![first.ok()?];
        Some(tokio::time::timeout(PATIENCE, self.read(&mut head)).await.expect("a response in time"))
    }

    /// Waits for the end of the connection, without a response.
    pub async fn ends(&mut self) {
        assert!(self.0.read_u8().await.is_err(), "an answer");
    }

    pub async fn response(&mut self) -> Response {
        tokio::time::timeout(PATIENCE, self.read(&mut Vec::new())).await.expect("a response in time")
    }

    async fn read(&mut self, head: &mut Vec<u8>) -> Response {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a whole head"));
        }
        let mut response = Response { head: String::from_utf8_lossy(head).into_owned(), body: String::new() };
        if let Some(length) = response.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.expect("a whole body");
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }
}
