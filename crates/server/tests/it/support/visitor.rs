//! A visitor that writes its requests byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Visitor(TcpStream);

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
        Self(TcpStream::connect(node).await.unwrap())
    }

    pub async fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        self.response().await
    }

    pub async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Waits for the end of the connection, without a response.
    pub async fn ends(&mut self) {
        assert!(self.0.read_u8().await.is_err(), "an answer");
    }

    pub async fn response(&mut self) -> Response {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a response in time")
    }

    async fn read(&mut self) -> Response {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a whole head"));
        }
        let mut response = Response { head: String::from_utf8(head).unwrap(), body: String::new() };
        if let Some(length) = response.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.expect("a whole body");
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }
}
