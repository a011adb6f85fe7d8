//! HTTP/2 frames written and read by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET https://a.example/` out of HPACK's static table (RFC 7541 appendix A), the host as a literal.
pub(super) const GET: &[u8] = b"\x82\x87\x84\x41\x09a.example";
pub(super) const SETTINGS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A whole GET on this stream.
pub(super) fn get(stream: u32) -> Vec<u8> {
    frame(1, 0x5, stream, GET)
}

pub(super) async fn open(io: &mut DuplexStream) {
    io.write_all(PREFACE).await.unwrap();
    io.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
}

/// The next frame but PING, which is answered: its kind, its stream and what it carries.
pub(super) async fn next_frame(io: &mut DuplexStream) -> (u8, u32, Vec<u8>) {
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; length as usize];
        io.read_exact(&mut body).await.unwrap();
        if head[3] == 6 && head[4] == 0 {
            io.write_all(&frame(6, 1, 0, &body)).await.unwrap();
            continue;
        }
        return (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), body);
    }
}

/// Reads until a frame of this kind on this stream.
pub(super) async fn until_frame(io: &mut DuplexStream, kind: u8, stream: u32) -> Vec<u8> {
    loop {
        let (got, on, body) = next_frame(io).await;
        if (got, on) == (kind, stream) {
            return body;
        }
    }
}
