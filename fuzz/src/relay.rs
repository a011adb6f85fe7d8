//! A visitor's request and an upstream's response on their way through `web`, as a node carries them, to a peer that reads
//! as strictly as we do. What arrives is one message, the same, and never a part that is taken for the whole.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use adit_web::client::{self, Sender};
use adit_web::limits::{ClientLimits, ServeLimits};
use adit_web::{Body, BodyError, RequestAuthority, body, hygiene, serve};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};

use crate::connection::pipe;
use crate::http::{clean, forwarded, one_length};

/// What is said of its connection by each side that writes, so that it differs on the next hop.
const OF_ONE_HOP: [&str; 5] =
    ["connection", "content-length", "date", "adit-request-id", "transfer-encoding"];

/// Whether a body arrived whole though no length was stated: its end was said by the sender.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) by_its_end: bool,
}

/// Carries a request to an upstream.
pub(crate) async fn request(request: Request<Incoming>) -> Whole {
    let (parts, incoming) = request.into_parts();
    one_length(&parts.headers);
    let Ok(authority) = RequestAuthority::of(&parts) else { return Whole::default() };
    let (noted, passed) = Noted::new(body::from_visitor(incoming, parts.version));
    let mut request = Request::from_parts(parts, noted.boxed_unsync());
    hygiene::request(&mut request, &forwarded(authority));
    clean(request.headers());
    let asked = (request.method().to_string(), request.uri().to_string(), fields(request.headers(), &[]));
    let seen = seen(request).await;
    assert!(seen.len() <= 1, "one request became {}: {seen:?}", seen.len());
    let Some((head, body)) = seen.into_iter().next() else { return Whole::default() };
    assert_eq!(head, asked, "an upstream reads another request than was asked");
    passed.arrived(body)
}

/// Method, target and fields as a reader sees them.
type Head = (String, String, Vec<(String, Vec<u8>)>);

/// What an upstream sees of a request that is sent to it: its head, and its body if that is whole.
async fn seen(request: Request<Body>) -> Vec<(Head, Option<Bytes>)> {
    let (ours, theirs) = pipe();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&seen);
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let book = Arc::clone(&book);
        async move {
            let (parts, incoming) = request.into_parts();
            let head = (parts.method.to_string(), parts.uri.to_string(), fields(&parts.headers, &[]));
            let body = incoming.collect().await.ok().map(|body| body.to_bytes());
            book.lock().expect("nobody panics with it").push((head, body));
            Ok::<_, Infallible>(Response::new(body::empty()))
        }
    });
    let exchange = async {
        let limits = ClientLimits::default();
        let mut sender = client::handshake(ours, limits).await.expect("nothing is asked yet");
        drop(client::send(&mut sender, request, limits).await);
    };
    drop(tokio::join!(serve::http1(theirs, service, ServeLimits::default(), pending()), exchange));
    std::mem::take(&mut *seen.lock().expect("nobody panics with it"))
}

/// Asks `sender`'s upstream, and carries its response to a visitor.
pub(crate) async fn response(sender: Sender) -> Whole {
    let (ours, theirs) = pipe();
    let (answer, place) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Some(sender))));
    let said = Arc::clone(&answer);
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let (said, sender) = (Arc::clone(&said), place.lock().expect("nobody panics with it").take());
        async move { Ok::<_, Infallible>(answered(request, sender.expect("one request"), &said).await) }
    });
    let exchange = async {
        let limits = ClientLimits::default();
        let mut sender = client::handshake(ours, limits).await.ok()?;
        let request = Request::builder().uri("/").header("host", "a.example").body(body::empty());
        let response = client::send(&mut sender, request.expect("a request"), limits).await.ok()?;
        let (parts, mut incoming) = response.into_parts();
        let mut bytes = Vec::new();
        // The connection moves while its sender is asked.
        while let Some(frame) =
            std::future::poll_fn(|cx| sender.poll(cx, |cx| Pin::new(&mut incoming).poll_frame(cx))).await
        {
            match frame {
                Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
                Err(_) => return Some((parts, None)),
            }
        }
        Some((parts, Some(Bytes::from(bytes))))
    };
    let served = serve::http1(theirs, service, ServeLimits::default(), pending());
    let (_, told) = tokio::join!(served, exchange);
    let answer = answer.lock().expect("nobody panics with it").take();
    let (Some((parts, body)), Some((status, head, passed))) = (told, answer) else { return Whole::default() };
    assert_eq!(
        (parts.status, fields(&parts.headers, &OF_ONE_HOP)),
        (status, head),
        "another response is told"
    );
    passed.arrived(body)
}

/// What an upstream answered, as far as it is passed on.
type Answer = Option<(StatusCode, Vec<(String, Vec<u8>)>, Passed)>;

async fn answered(request: Request<Incoming>, mut sender: Sender, said: &Mutex<Answer>) -> Response<Body> {
    let request = request.map(|_| body::empty());
    let refused = || Response::builder().status(502).body(body::empty()).expect("a response");
    let answered = client::send(&mut sender, request, ClientLimits::default()).await;
    let Ok(mut response) = answered else { return refused() };
    let came_in = response.version();
    if hygiene::response(&mut response, None).is_err() {
        return refused();
    }
    let (parts, incoming) = response.into_parts();
    one_length(&parts.headers);
    assert!(parts.headers.keys().all(|name| !name.as_str().starts_with("adit-")), "it speaks in our name");
    let (mut noted, passed) = Noted::new(body::from_upstream(incoming, came_in));
    let head = fields(&parts.headers, &OF_ONE_HOP);
    *said.lock().expect("nobody panics with it") = Some((parts.status, head, passed));
    noted.sender = Some(sender);
    Response::from_parts(parts, noted.boxed_unsync())
}

/// Fields in the order of their names, without those that are not compared, as a reader understands them (RFC 9110
/// section 5.5: white space around a value is not part of it).
fn fields(headers: &HeaderMap, but: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !but.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), trimmed(value.as_bytes()).to_vec()))
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let (first, last) = (value.iter().position(is_text), value.iter().rposition(is_text));
    first.zip(last).map_or(&[], |(first, last)| &value[first..=last])
}

/// What passed of a body.
#[derive(Clone, Debug, Default)]
struct Passed(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    bytes: Vec<u8>,
    stated: Option<u64>,
    ended: bool,
}

impl Passed {
    /// `body` is what a reader took for the whole.
    fn arrived(&self, body: Option<Bytes>) -> Whole {
        let progress = self.0.lock().expect("nobody panics with it");
        let Some(body) = body else { return Whole::default() };
        assert_eq!(body, progress.bytes, "another body arrived");
        let is_all = progress.stated == Some(progress.bytes.len() as u64);
        assert!(progress.ended || is_all, "a part of a body is taken for the whole");
        Whole { by_its_end: progress.stated.is_none() }
    }
}

/// A body that is looked at as it passes.
struct Noted {
    body: Body,
    passed: Passed,
    /// Where it comes from, if that moves only while it is asked.
    sender: Option<Sender>,
}

impl Noted {
    fn new(body: Body) -> (Self, Passed) {
        let passed = Passed::default();
        passed.0.lock().expect("nobody panics with it").stated = body.size_hint().exact();
        (Self { body, passed: passed.clone(), sender: None }, passed)
    }
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, passed, sender } = &mut *self;
        let polled = match sender {
            Some(sender) => sender.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
            None => Pin::new(body).poll_frame(cx),
        };
        let polled = ready!(polled);
        let mut progress = passed.0.lock().expect("nobody panics with it");
        match &polled {
            None => progress.ended = true,
            Some(Ok(frame)) => {
                progress.bytes.extend(frame.data_ref().into_iter().flatten());
                // Nothing comes after them, and nobody asks.
                progress.ended |= frame.is_trailers();
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
