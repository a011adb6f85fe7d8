//! HTTP/2 from both sides. Inputs are lists of frames, so that most of what is tried reaches more than a length.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use adit_web::hygiene::Scheme;
use adit_web::limits::{ClientLimits, ServeLimits};
use adit_web::service::Work;
use adit_web::{body, client, serve};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::task::JoinSet;

use crate::connection::{pipe, run, stranger};
use crate::relay;

/// The scanner that counts a peer's frames. It is private to `web`, and needs nothing of it.
#[path = "../../crates/web/src/frames.rs"]
#[expect(dead_code, reason = "not every kind is asked for here")]
mod scanner;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// On DATA and HEADERS.
const END_STREAM: u8 = 1;
/// On SETTINGS and PING.
const ACK: u8 = 1;

/// A visitor whose frames are anything is answered or dropped, and what goes on to an upstream is one request each, which
/// is whole only if its stream has ended.
pub fn visitor_http2(data: &[u8]) {
    let frames = written(data);
    let whole = Arc::new(AtomicUsize::new(0));
    let heard = visit(&frames, 255, &whole);
    let ends = read(&frames).filter(|frame| frame.kind <= HEADERS && frame.flags & END_STREAM != 0).count();
    assert!(whole.load(Ordering::Relaxed) <= ends, "a request is whole that has not ended");
    let answered = read(&heard).map(|frame| HEAD_BYTES + frame.body.len()).sum::<usize>();
    assert_eq!(answered, heard.len(), "a frame of ours is cut");
}

/// An upstream whose frames are anything: its response is refused, or reaches a visitor as it was, and is whole only if
/// its stream has ended.
pub fn upstream_http2(data: &[u8]) {
    let frames = written(data);
    let said = [&[255], settings().as_slice(), &frames].concat();
    let (ours, theirs) = pipe();
    let whole = run(async {
        let (spawn, tasks) = beside();
        let connected = client::handshake_http2(ours, Scheme::Http, spawn, ClientLimits::default()).await;
        let Ok(sender) = connected else { return relay::Whole::default() };
        let (whole, _) = tokio::join!(relay::response(sender), stranger(theirs, &said));
        drop(tasks);
        whole
    });
    let ended = read(&frames).any(|frame| frame.kind <= HEADERS && frame.flags & END_STREAM != 0);
    assert!(ended || !whole.by_its_end, "a response is whole that has not ended");
}

/// Our scanner finds the frames that are there, however they are cut; and h2 does: it answers no more than came.
pub fn frames(data: &[u8]) {
    let Some((size, program)) = data.split_first() else { return };
    let frames = written(program);
    for bytes in [&frames, program] {
        let (mut scanner, mut found) = (scanner::Frames::after(0), Vec::new());
        for piece in bytes.chunks(usize::from(*size).max(1)) {
            scanner.feed(piece, |head| found.push((head.kind, head.body_bytes as usize, head.is_ack())));
        }
        let mut expected: Vec<_> =
            read(bytes).map(|frame| (frame.kind, frame.body.len(), frame.is_ack())).collect();
        // The head of one that is cut is there, too.
        let seen = read(bytes).map(|frame| HEAD_BYTES + frame.body.len()).sum::<usize>();
        if let [high, middle, low, kind, flags, _, _, _, _, ..] = bytes[seen..] {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            expected.push((kind, length, matches!(kind, SETTINGS | PING) && flags & ACK != 0));
        }
        assert_eq!(found, expected);
    }
    let heard = visit(&frames, *size, &Arc::default());
    for kind in [SETTINGS, PING] {
        let count =
            |bytes, ack| read(bytes).filter(|frame| frame.kind == kind && frame.is_ack() == ack).count();
        // The first SETTINGS is part of the preface.
        let asked = count(&frames, false) + usize::from(kind == SETTINGS);
        assert!(count(&heard, true) <= asked, "h2 answers what did not come");
    }
}

/// A visitor says these frames behind a preface, in pieces of this size. Returns what it hears. `whole` counts the requests
/// that an upstream took for whole because they ended.
fn visit(frames: &[u8], size: u8, whole: &Arc<AtomicUsize>) -> Vec<u8> {
    let whole = Arc::clone(whole);
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let whole = Arc::clone(&whole);
        async move {
            let seen = relay::request(request).await;
            whole.fetch_add(usize::from(seen.by_its_end), Ordering::Relaxed);
            Ok::<_, Infallible>(Response::new(body::full("answer")))
        }
    });
    let said = [&[size], PREFACE, &settings(), frames].concat();
    let (ours, theirs) = pipe();
    run(async {
        let (spawn, tasks) = beside();
        let served = serve::http2(ours, service, spawn, ServeLimits::default(), std::future::pending());
        let (_, heard) = tokio::join!(served, stranger(theirs, &said));
        drop(tasks);
        heard
    })
}

/// Where the work of each request goes, and what ends it.
fn beside() -> (impl Fn(Work) + Clone + Send + Sync + Unpin + 'static, Arc<Mutex<JoinSet<()>>>) {
    let tasks = Arc::new(Mutex::new(JoinSet::new()));
    let set = Arc::downgrade(&tasks);
    let spawn = move |work: Work| {
        if let Some(tasks) = set.upgrade() {
            tasks.lock().expect("nobody panics with it").spawn(work);
        }
    };
    (spawn, tasks)
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    body: &'a [u8],
}

impl Frame<'_> {
    fn is_ack(&self) -> bool {
        matches!(self.kind, SETTINGS | PING) && self.flags & ACK != 0
    }
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// The frames of a list in which each is its kind, flags, stream, length and body. Half of the kinds say a wrong length.
fn written(mut list: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [kind, flags, stream, length, rest @ ..] = list {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let at = bytes.len();
        bytes.extend(frame(kind & 0x0f, *flags, *stream, body));
        if kind & 0x80 != 0 {
            bytes[at + 1] = *length;
        }
        list = rest;
    }
    bytes
}

fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(body.len()).expect("at most 255").to_be_bytes();
    [&[high, middle, low, kind, flags, 0, 0, 0, stream], body].concat()
}

/// The frames that are whole (RFC 9113 section 4.1).
fn read(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [high, middle, low, kind, flags, ..] = *head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let (body, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(Frame { kind, flags, body })
    })
}
