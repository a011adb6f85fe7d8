//! What a hostile agent does with the session that its preface got it.

use std::future::pending;
use std::io;

use adit_wire::control::{self, Frame};
use adit_wire::record::{AbortCode, RecordHeader, abort};
use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{ACK, CONTROL, DATA, GO_AWAY, PING, RST, SYN, WINDOW, data, drops, frame};
use crate::limits::{
    TRAP_ANSWERS_QUEUED, TRAP_BYTES_AT_ONCE, TRAP_DEADLINE, TRAP_STREAMS, TRAP_UNREAD_BYTES_MAX,
};

/// What the node offers a stream that is new in yamux, and one byte more.
const TOO_LARGE_BYTES: u32 = 256 * 1024 + 1;

/// One way to misuse yamux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// Opens a stream with more data than any window allows.
    OversizeSyn,
    /// Opens a stream with all the window that a number can say.
    OversizeWindow,
    /// Announces a body of 4 GiB on a stream that is there.
    OversizeBody,
    /// Opens streams and resets them, which only the node may open.
    SynChurn,
    /// Gives a stream more window than a number can say.
    WindowOverflow,
    /// Answers pings that nobody sent.
    PongsUnasked,
    /// Says that it goes, and goes on.
    GoOnAfterGoAway,
    /// Ends its control stream, and goes on.
    GoOnAfterFin,
    /// Asks on the control stream without end, and reads no answer.
    NeverRead,
    /// The same with pings of yamux's own.
    NeverReadPongs,
    /// Asks without end, and reads.
    PingFlood,
    /// Gives window without end: to a stream that is there, to none.
    WindowFlood,
    /// Says what it has to say in frames of one byte.
    OneByteFrames,
    /// Resets each stream that the node opens.
    ResetStreams,
    /// Aborts each, as if its upstream had broken.
    AbortStreams,
    /// Answers each in frames of one byte.
    OneByteAnswers,
    /// Answers with more than it was allowed to send.
    Overrun,
}

/// How the session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The node cut the connection.
    Cut,
    /// The hostile agent had done all that it wanted, and left without a word.
    Left,
}

impl Trap {
    /// Those that need no visitors.
    pub const ALONE: [Self; 13] = [
        Self::OversizeSyn,
        Self::OversizeWindow,
        Self::OversizeBody,
        Self::SynChurn,
        Self::WindowOverflow,
        Self::PongsUnasked,
        Self::GoOnAfterGoAway,
        Self::GoOnAfterFin,
        Self::NeverRead,
        Self::NeverReadPongs,
        Self::PingFlood,
        Self::WindowFlood,
        Self::OneByteFrames,
    ];

    /// Those that wait for streams, which visitors must cause.
    pub const VISITED: [Self; 4] =
        [Self::ResetStreams, Self::AbortStreams, Self::OneByteAnswers, Self::Overrun];

    /// How the session must end.
    #[must_use]
    pub const fn ending(self) -> Ended {
        match self {
            Self::PingFlood
            | Self::WindowFlood
            | Self::OneByteFrames
            | Self::ResetStreams
            | Self::AbortStreams
            | Self::OneByteAnswers => Ended::Left,
            _ => Ended::Cut,
        }
    }

    /// Does it on a connection whose prefaces have crossed, after this hello, and with so many bytes.
    ///
    /// # Errors
    /// When the node takes what it should not, or does not cut in time what it should.
    pub async fn set(self, io: impl AsyncRead + AsyncWrite, hello: &[u8], bytes_max: usize) -> Result<Ended> {
        let (reader, writer) = tokio::io::split(io);
        let (answers, answered) = mpsc::channel(TRAP_ANSWERS_QUEUED);
        let both = async {
            tokio::select! {
                ended = self.listen(reader, answers) => Ok(ended),
                ended = self.talk(writer, hello, bytes_max, answered) => ended,
            }
        };
        timeout(TRAP_DEADLINE, both).await.with_context(|| format!("{self:?}: no end"))?
    }

    async fn listen(self, mut io: impl AsyncRead + Unpin, answers: mpsc::Sender<Vec<u8>>) -> Ended {
        if self.is_deaf() {
            return pending().await;
        }
        while let Ok(head) = Head::read(&mut io).await {
            if let Some(answer) = self.answer(head) {
                // What has no place is not said.
                let _ = answers.try_send(answer);
            }
        }
        Ended::Cut
    }

    async fn talk(
        self,
        mut io: impl AsyncWrite + Unpin,
        hello: &[u8],
        bytes_max: usize,
        mut answers: mpsc::Receiver<Vec<u8>>,
    ) -> Result<Ended> {
        let round = self.round()?;
        let bytes_max = if self.is_deaf() { TRAP_UNREAD_BYTES_MAX } else { bytes_max };
        let (mut next, mut said, mut answered) = (hello.to_vec(), 0, 0);
        loop {
            // An error is the node's end of it.
            if io.write_all(&next).await.is_err() || io.flush().await.is_err() {
                return Ok(Ended::Cut);
            }
            next = match answers.try_recv() {
                Ok(answer) => answer,
                Err(_) if round.is_empty() && answered < TRAP_STREAMS => {
                    answered += 1;
                    answers.recv().await.context("nobody listens")?
                }
                Err(_) if !round.is_empty() && said < bytes_max => {
                    said += round.len();
                    round.clone()
                }
                Err(_) => break,
            };
        }
        ensure!(!self.is_deaf(), "{self:?}: {said} bytes were taken, and the node could not answer");
        if self.ending() == Ended::Cut { pending().await } else { Ok(Ended::Left) }
    }

    const fn is_deaf(self) -> bool {
        matches!(self, Self::NeverRead | Self::NeverReadPongs)
    }

    /// What it says again and again.
    fn round(self) -> Result<Vec<u8>> {
        let ping = frame(PING, SYN, 0, 1);
        let mut asking = Vec::new();
        control::encode(&Frame::Ping { nonce: 1 }, &mut asking)?;
        let once = match self {
            Self::OversizeSyn => [frame(DATA, SYN, 5, TOO_LARGE_BYTES), vec![0; TRAP_BYTES_AT_ONCE]].concat(),
            Self::OversizeWindow => frame(WINDOW, SYN, 5, u32::MAX),
            Self::OversizeBody => frame(DATA, 0, CONTROL, u32::MAX),
            Self::SynChurn => (2..64).flat_map(|n| [open(2 * n + 1), reset(2 * n + 1)].concat()).collect(),
            Self::WindowOverflow => frame(WINDOW, 0, CONTROL, u32::MAX),
            Self::PongsUnasked => frame(PING, ACK, 0, 1234),
            Self::GoOnAfterGoAway => [frame(GO_AWAY, 0, 0, 0), ping, data(0, CONTROL, &asking)].concat(),
            Self::GoOnAfterFin => [frame(DATA, super::FIN, CONTROL, 0), ping].concat(),
            Self::NeverRead => data(0, CONTROL, &asking),
            Self::NeverReadPongs | Self::PingFlood => ping,
            Self::WindowFlood => {
                [frame(WINDOW, 0, CONTROL, 0), frame(WINDOW, 0, 2, 1), frame(WINDOW, 0, 4_000, 7)].concat()
            }
            Self::OneByteFrames => drops(CONTROL, &asking),
            Self::ResetStreams | Self::AbortStreams | Self::OneByteAnswers | Self::Overrun => Vec::new(),
        };
        Ok(once.repeat(TRAP_BYTES_AT_ONCE / once.len().clamp(1, TRAP_BYTES_AT_ONCE)))
    }

    /// What it says to a frame of the node.
    fn answer(self, head: Head) -> Option<Vec<u8>> {
        match head {
            Head { kind: PING, flags: SYN, length, .. } => Some(frame(PING, ACK, 0, length)),
            Head { kind: DATA, id: CONTROL, length, .. } => Some(frame(WINDOW, 0, CONTROL, length)),
            Head { flags, id, .. } if flags & SYN != 0 && id != 0 => self.answer_to_stream(id),
            _ => None,
        }
    }

    fn answer_to_stream(self, id: u32) -> Option<Vec<u8>> {
        let accepted = [RecordHeader::ACCEPTED.encode(), RecordHeader::DIALLED.encode()].concat();
        match self {
            Self::ResetStreams => Some(reset(id)),
            Self::AbortStreams => {
                Some(data(0, id, &[accepted, abort(AbortCode::UpstreamBroken).to_vec()].concat()))
            }
            Self::OneByteAnswers => Some(drops(id, &[accepted, response()?].concat())),
            Self::Overrun => {
                let body = data(0, id, &vec![0; TRAP_BYTES_AT_ONCE]);
                Some([data(ACK, id, &accepted), body.repeat(64)].concat())
            }
            _ => None,
        }
    }
}

fn open(id: u32) -> Vec<u8> {
    frame(DATA, SYN, id, 0)
}

fn reset(id: u32) -> Vec<u8> {
    frame(DATA, RST, id, 0)
}

/// An HTTP response as records, and the stream's end.
fn response() -> Option<Vec<u8>> {
    let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let head = RecordHeader::data(text.len()).ok()?;
    Some([&head.encode(), text.as_slice(), &RecordHeader::END.encode()].concat())
}

/// The header of a frame of the node.
#[derive(Clone, Copy)]
struct Head {
    kind: u8,
    flags: u8,
    id: u32,
    length: u32,
}

impl Head {
    /// The next one, without its body.
    async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut header = [0; 12];
        io.read_exact(&mut header).await?;
        let [_version, kind, _, flags, i0, i1, i2, i3, l0, l1, l2, l3] = header;
        let (id, length) = (u32::from_be_bytes([i0, i1, i2, i3]), u32::from_be_bytes([l0, l1, l2, l3]));
        if kind == DATA {
            tokio::io::copy(&mut io.take(length.into()), &mut tokio::io::sink()).await?;
        }
        Ok(Self { kind, flags, id, length })
    }
}
