//! A peer that knows yamux only as twelve bytes and a body.

use adit_mux::{Config, Control, Driver, Incoming, Session, connect, serve};
use adit_wire::{
    control::{self, Frame},
    credit::Credit,
    record::{RECORD_HEADER_LEN, RecordHeader, RecordKind},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

pub const DATA: u8 = 0;
pub const WINDOW: u8 = 1;
pub const PING: u8 = 2;
pub const GO_AWAY: u8 = 3;

pub const SYN: u8 = 1;
pub const ACK: u8 = 2;
pub const FIN: u8 = 4;
pub const RST: u8 = 8;

/// The id of the control stream: the agent is yamux's client and opens it first.
pub const CONTROL: u32 = 1;

/// The id of the credit stream, which it opens second.
pub const CREDIT: u32 = 3;

/// One yamux frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    pub tag: u8,
    pub flags: u8,
    pub id: u32,
    pub length: u32,
    pub body: Vec<u8>,
}

/// The hand-written end of a connection.
pub struct Raw {
    pub io: DuplexStream,
    decoder: control::Decoder,
    undecoded: Vec<u8>,
}

impl Raw {
    pub fn over(io: DuplexStream) -> Self {
        Self { io, decoder: control::Decoder::new(), undecoded: Vec::new() }
    }

    /// A server under test, whose agent is the raw peer. The control stream and the credit stream are open.
    pub async fn agent_of(config: &Config) -> (Self, Session, Control, Driver<DuplexStream>) {
        let (mut raw, session, control, driver) = Self::silent_agent_of(config);
        raw.control(&Frame::Pong { nonce: 0 }, SYN).await;
        raw.data(SYN, CREDIT, &Credit::HELLO.encode()).await;
        (raw, session, control, driver)
    }

    /// The same without a control stream.
    pub fn silent_agent_of(config: &Config) -> (Self, Session, Control, Driver<DuplexStream>) {
        let (ours, theirs) = duplex(8 << 20);
        let (session, control, driver) = serve(theirs, config);
        (Self::over(ours), session, control, driver)
    }

    /// An agent under test, whose server is the raw peer.
    pub fn server_of(config: &Config) -> (Self, Incoming, Control, Driver<DuplexStream>) {
        let (ours, theirs) = duplex(8 << 20);
        let (incoming, control, driver) = connect(theirs, config);
        (Self::over(ours), incoming, control, driver)
    }

    pub async fn send(&mut self, tag: u8, flags: u8, id: u32, length: u32, body: &[u8]) {
        let mut bytes = vec![0, tag, 0, flags];
        bytes.extend(id.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        self.io.write_all(&bytes).await.unwrap();
    }

    pub async fn data(&mut self, flags: u8, id: u32, body: &[u8]) {
        self.send(DATA, flags, id, u32::try_from(body.len()).unwrap(), body).await;
    }

    pub async fn control(&mut self, frame: &Frame, flags: u8) {
        let mut bytes = Vec::new();
        control::encode(frame, &mut bytes).unwrap();
        self.data(flags, CONTROL, &bytes).await;
    }

    /// Lets the side under test send so many bytes more on a stream.
    pub async fn credit(&mut self, stream: u32, bytes: u32) {
        self.data(0, CREDIT, &Credit { stream, bytes }.encode()).await;
    }

    /// The credit for a stream that has come since this was asked last.
    pub async fn given(&mut self, stream: u32) -> usize {
        self.send(PING, SYN, 0, 7, &[]).await;
        let mut given = 0;
        loop {
            let frame = self.next().await.expect("connection ended");
            if frame.tag == PING {
                return given;
            }
            let (entries, _) = frame.body.as_chunks::<8>();
            let entries = entries.iter().filter(|_| (frame.tag, frame.id) == (DATA, CREDIT));
            let credits =
                entries.map(|entry| Credit::decode(*entry)).filter(|credit| credit.stream == stream);
            given += credits.map(|credit| usize::try_from(credit.bytes).unwrap()).sum::<usize>();
        }
    }

    /// The next ping of yamux's own, which is not answered.
    pub async fn next_ping(&mut self) -> u32 {
        loop {
            let frame = self.next_of_any().await.expect("connection ended");
            if frame.tag == PING && frame.flags == SYN {
                return frame.length;
            }
        }
    }

    /// Comes back when all that was sent before has been handled.
    pub async fn settled(&mut self) {
        self.send(PING, SYN, 0, 7, &[]).await;
        while self.next().await.expect("connection ended").tag != PING {}
    }

    /// The next frame that is not a ping of yamux's own; those are answered. `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<RawFrame> {
        loop {
            let frame = self.next_of_any().await?;
            if frame.tag == PING && frame.flags == SYN {
                let pong = [[0, PING, 0, ACK], [0; 4], frame.length.to_be_bytes()].concat();
                // Nobody may be there any more to read it.
                let _ = self.io.write_all(&pong).await;
                continue;
            }
            return Some(frame);
        }
    }

    async fn next_of_any(&mut self) -> Option<RawFrame> {
        let mut header = [0; 12];
        self.io.read_exact(&mut header).await.ok()?;
        let [version, tag, _, flags, i0, i1, i2, i3, l0, l1, l2, l3] = header;
        assert_eq!(version, 0);
        let (id, length) = (u32::from_be_bytes([i0, i1, i2, i3]), u32::from_be_bytes([l0, l1, l2, l3]));
        let mut body = vec![0; if tag == DATA { usize::try_from(length).unwrap() } else { 0 }];
        self.io.read_exact(&mut body).await.ok()?;
        Some(RawFrame { tag, flags, id, length, body })
    }

    /// The next frame of one stream; others are passed over.
    pub async fn next_of(&mut self, id: u32) -> RawFrame {
        loop {
            let frame = self.next().await.expect("connection ended");
            if frame.id == id {
                return frame;
            }
        }
    }

    /// The next frame of the control stream, window updates apart.
    pub async fn next_control(&mut self) -> Frame {
        loop {
            let taken = self.decoder.push(&self.undecoded);
            self.undecoded.drain(..taken);
            if let Some(frame) = self.decoder.next().unwrap() {
                return frame;
            }
            if self.undecoded.is_empty() {
                self.undecoded = self.next_of(CONTROL).await.body;
            }
        }
    }

    /// Waits for the end of the connection and says which frames came before.
    pub async fn rest(&mut self) -> Vec<RawFrame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// A record with its body.
pub fn record(header: RecordHeader, body: &[u8]) -> Vec<u8> {
    [header.encode().as_slice(), body].concat()
}

pub fn data_record(body: &[u8]) -> Vec<u8> {
    record(RecordHeader::data(body.len()).unwrap(), body)
}

/// *Accepted* and *dialled*: all that stands before the first byte of an answered stream.
pub fn dialled() -> Vec<u8> {
    [RecordHeader::ACCEPTED.encode(), RecordHeader::DIALLED.encode()].concat()
}

/// The kind of the record that a frame body starts with.
pub fn kind(body: &[u8]) -> RecordKind {
    let header: [u8; RECORD_HEADER_LEN] = body[..RECORD_HEADER_LEN].try_into().unwrap();
    RecordHeader::decode(header).unwrap().kind()
}
