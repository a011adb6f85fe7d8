//! A second, strict reader of HTTP/1 message boundaries. It never says yes in hyper's place, only no.
//!
//! hyper drops `Content-Length` in silence where `Transfer-Encoding` stands beside it, joins repeated
//! lengths and takes a bare LF as a line's end; after parsing nothing of this can be seen any more. The
//! scan follows the same bytes and keeps one [`Verdict`] per head, in order.

use std::collections::VecDeque;

use crate::line::{Line, decimal};

/// What one request head says about its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// At most one statement, in lines that end with CRLF.
    Clear,
    /// Two statements about the length, or lines that only some readers see (RFC 9112 sections 2.2, 6.3).
    Ambiguous,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Between messages.
    Start,
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    Trailers,
    /// Boundaries are unknown from here on. Heads get no verdict, so they are refused.
    Lost,
}

pub(super) struct Scan {
    phase: Phase,
    line: Line,
    /// A byte of the next head has arrived, be it only an empty line.
    touched: bool,
    length: Option<u64>,
    lengths: u32,
    encodings: u32,
    bare_line_feed: bool,
    broken: bool,
    heads: u64,
    verdicts: VecDeque<Verdict>,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Start,
            line: Line::new(),
            touched: false,
            length: None,
            lengths: 0,
            encodings: 0,
            bare_line_feed: false,
            broken: false,
            heads: 0,
            verdicts: VecDeque::new(),
        }
    }

    /// Follows bytes as they arrive. Holds one verdict per head that hyper has not asked for yet; hyper's read
    /// buffer bounds their number.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.phase {
                Phase::Lost => return,
                Phase::Body(left) => self.skip(bytes, left, Phase::Body, Phase::Start),
                Phase::ChunkData(left) => self.skip(bytes, left, Phase::ChunkData, Phase::ChunkSize),
                Phase::Start | Phase::Head | Phase::ChunkSize | Phase::Trailers => self.line(bytes),
            };
        }
    }

    /// The verdict on the oldest head that was not asked for. `None` means that it was never seen whole.
    pub(super) fn verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// Whether there is a head, whole or not, that was not asked for.
    pub(super) fn is_head_waiting(&self) -> bool {
        !self.verdicts.is_empty() || self.is_mid_head()
    }

    /// Whether a head has begun and is not complete.
    fn is_mid_head(&self) -> bool {
        match self.phase {
            Phase::Start => self.touched,
            Phase::Head => true,
            Phase::Body(_) | Phase::ChunkSize | Phase::ChunkData(_) | Phase::Trailers | Phase::Lost => false,
        }
    }

    /// Whether a request has begun and is not complete, as far as can be told.
    pub(super) fn is_mid_request(&self) -> bool {
        !matches!(self.phase, Phase::Start) || self.touched
    }

    /// Whether a chunked body broke the rules of its framing. hyper takes a bare LF before a trailer for a part of it, and
    /// what follows for trailers.
    pub(super) fn is_body_broken(&self) -> bool {
        self.broken
    }

    /// How many heads were completed so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, stay: fn(u64) -> Phase, next: Phase) -> &'a [u8] {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left.saturating_sub(take as u64);
        match next {
            _ if left > 0 => self.phase = stay(left),
            Phase::Start => self.restart(),
            next => self.phase = next,
        }
        bytes.get(take..).unwrap_or_default()
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if matches!(self.phase, Phase::Start) {
            self.touched = true;
        }
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line.push(bytes);
            return &[];
        };
        let (text, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        self.line.push(text);
        self.end_line();
        self.line = Line::new();
        rest.get(1..).unwrap_or_default()
    }

    fn end_line(&mut self) {
        let complete = self.line.ends_with_cr();
        match self.phase {
            Phase::Start | Phase::Head if !complete => self.bare_line_feed = true,
            _ if !complete => return self.lose_body(),
            _ => {}
        }
        let empty = self.line.is_empty();
        match self.phase {
            Phase::Start if empty => {}
            Phase::Start => self.phase = Phase::Head,
            Phase::Head if empty => self.end_head(),
            Phase::Head => self.field(),
            Phase::ChunkSize => self.chunk(),
            Phase::Trailers if empty => self.restart(),
            Phase::Trailers | Phase::Body(_) | Phase::ChunkData(_) | Phase::Lost => {}
        }
    }

    fn field(&mut self) {
        if self.line.value_of(b"transfer-encoding:").is_some() {
            self.encodings = self.encodings.saturating_add(1);
        } else if let Some(value) = self.line.value_of(b"content-length:") {
            self.length = if self.line.is_cut() { None } else { decimal(value.trim_ascii()) };
            self.lengths = self.lengths.saturating_add(1);
        }
    }

    fn end_head(&mut self) {
        let clear = !self.bare_line_feed && self.lengths.saturating_add(self.encodings) <= 1;
        self.heads = self.heads.saturating_add(1);
        self.verdicts.push_back(if clear { Verdict::Clear } else { Verdict::Ambiguous });
        self.touched = false;
        self.phase = match (clear, self.encodings, self.lengths, self.length) {
            (true, 1, _, _) => Phase::ChunkSize,
            (true, _, 0, _) | (true, _, _, Some(0)) => return self.restart(),
            (true, _, _, Some(length)) => Phase::Body(length),
            (true, _, _, None) | (false, ..) => Phase::Lost,
        };
    }

    fn chunk(&mut self) {
        self.phase = match self.line.chunk_bytes() {
            Some(0) => Phase::Trailers,
            // The data's own CRLF is skipped with it.
            Some(bytes) => Phase::ChunkData(bytes.saturating_add(2)),
            None => return self.lose_body(),
        };
    }

    fn lose_body(&mut self) {
        self.phase = Phase::Lost;
        self.broken = true;
    }

    fn restart(&mut self) {
        self.phase = Phase::Start;
        self.touched = false;
        self.length = None;
        self.lengths = 0;
        self.encodings = 0;
        self.bare_line_feed = false;
    }
}

#[cfg(test)]
mod tests;
