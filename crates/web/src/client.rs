//! The client side of a relayed request: one connection over any transport, HTTP/1.1 or HTTP/2, answers read strictly.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use answer_first::AnswerFirst;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::body::Body;
use crate::hygiene::Scheme;
use crate::interim::Interim;
use crate::limits::{BUFFER_BYTES_MAX, ClientLimits};
use crate::service::Work;
use beside::Beside;
use driver::Driver;
use heads::{Heads, ReadAlong};

mod answer_first;
mod beside;
mod driver;
mod guarded;
mod heads;
mod http2;

/// Sends requests on one connection, one after another. HTTP/1.1 has no task of its own: its bytes move while the sender
/// is polled, see [`Sender::poll`].
pub struct Sender {
    requests: Requests,
    driver: Driver,
    beside: Beside,
    headers_max: usize,
}

enum Requests {
    Http1(http1::SendRequest<Body>, Heads),
    Http2(hyper::client::conn::http2::SendRequest<Body>, Scheme),
}

impl Sender {
    /// Waits until the connection takes a request.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn ready(&mut self) -> Result<(), hyper::Error> {
        // Most connections are ready. One that is polled for nobody does not wake its own task when the request comes.
        let ready = self.poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(ready) = ready { ready } else { poll_fn(|cx| self.poll_ready(cx)).await }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        let Self { requests, driver, .. } = self;
        driver.poll(cx, |cx| match requests {
            Requests::Http1(requests, _) => requests.poll_ready(cx),
            Requests::Http2(requests, _) => requests.poll_ready(cx),
        })
    }

    /// Moves the connection's bytes, then asks `wait`: a response's body, which gets nothing otherwise.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll(cx, wait)
    }

    /// What moves the connection's bytes from now on: spawn it. It ends with the sender. `None`: nothing is left to do, or a
    /// task does it.
    pub fn detach(&mut self) -> Option<Work> {
        self.driver.detach().map(|connection| self.beside.bind(connection))
    }

    /// The same for a connection that changes to another protocol: it does not need the sender any more.
    #[must_use]
    pub fn let_go(mut self) -> Option<Work> {
        self.driver.detach()
    }

    /// Whether the connection has ended, as far as can be told without waiting.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        let _ = self.driver.poll(&mut Context::from_waker(Waker::noop()), |_| Poll::Ready(()));
        match &self.requests {
            Requests::Http1(requests, _) => requests.is_closed(),
            Requests::Http2(requests, _) => requests.is_closed(),
        }
    }
}

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Not a byte of it was written; here it is again.
    #[error("request was not sent")]
    Unsent(Box<Request<Body>>, #[source] hyper::Error),
    /// More interim responses than [`ClientLimits::informational_max`]; the connection is cut.
    #[error("upstream sent too many interim responses")]
    Informational,
    /// The response's head could be read in two ways: lines that end without CR, a length that is stated twice or not as
    /// a number. Or it has too many fields. Cut the connection.
    #[error("upstream's response is ambiguous")]
    Ambiguous,
    /// The exchange broke, or the answer was not HTTP. The upstream may have acted on the request.
    #[error("exchange with the upstream failed")]
    Http(#[source] hyper::Error),
}

/// Starts HTTP/1.1 on `io`.
///
/// Waits on nothing but the caller: deadlines for an answer belong to whoever knows the request.
///
/// # Errors
/// None are known today; hyper reserves the right.
pub async fn handshake<I>(io: I, limits: ClientLimits) -> Result<Sender, hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heads = Heads::new();
    let io = ReadAlong::new(io, heads.clone());
    let (requests, connection) = http1::Builder::new()
        .max_header_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .max_buf_size(BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(AnswerFirst::new(io)))
        .await?;
    let connection = connection.with_upgrades();
    // Its errors reach whoever waits for an answer.
    let driver = Driver::here(async move { drop(connection.await) });
    let (requests, headers_max) = (Requests::Http1(requests, heads), limits.headers_max);
    Ok(Sender { requests, driver, beside: Beside::new(), headers_max })
}

/// Starts HTTP/2 on `io` by prior knowledge (RFC 9113 section 3.3); the rest as in [`handshake`]. `scheme` is the
/// upstream's. The connection, and what has to go on beside it, are handed to `spawn`; they end with the sender.
///
/// One request at a time, as with HTTP/1.1: the connection is a stream of its own already, and whoever counts, resets or
/// gives back streams need not know what is spoken on them.
///
/// # Errors
/// The preface could not be written.
pub async fn handshake_http2<I, E>(
    io: I,
    scheme: Scheme,
    spawn: E,
    limits: ClientLimits,
) -> Result<Sender, hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Fn(Work) + Clone + Send + Sync + Unpin + 'static,
{
    let beside = Beside::new();
    let spawn = beside.binding(spawn);
    let (requests, connection) = http2::connect(io, spawn.clone(), limits).await?;
    spawn(Box::pin(async move { drop(connection.await) }));
    let requests = Requests::Http2(requests, scheme);
    Ok(Sender { requests, driver: Driver::Elsewhere, beside, headers_max: limits.headers_max })
}

/// Sends one request and waits for the head of its final response. Interim ones go to the visitor where the request is still
/// as [`crate::serve::http1`] made it and the upstream speaks HTTP/1.1; else they are passed over.
/// Dropping the future cuts the connection.
///
/// # Errors
/// [`SendError`], which tells apart what may be sent again.
pub async fn send(
    sender: &mut Sender,
    mut request: Request<Body>,
    limits: ClientLimits,
) -> Result<Response<Incoming>, SendError> {
    let interim = Arc::new(Counted::default());
    let counted = Arc::clone(&interim);
    let visitor = request.extensions_mut().remove::<Interim>();
    let heads = match &sender.requests {
        Requests::Http1(_, heads) => Some(heads.clone()),
        Requests::Http2(..) => None,
    };
    if let Some(heads) = &heads {
        heads.expect();
    }
    hyper::ext::on_informational(&mut request, move |response| {
        let is_strict = heads.as_ref().is_none_or(Heads::is_strict_so_far);
        if counted.count(limits.informational_max)
            && is_strict
            && let Some(visitor) = &visitor
        {
            visitor.send(response.status(), response.headers());
        }
    });
    let Sender { requests, driver, headers_max, .. } = sender;
    let response = match requests {
        Requests::Http1(requests, _) => answer(driver, &interim, requests.try_send_request(request)).await?,
        Requests::Http2(requests, scheme) => {
            answer(driver, &interim, requests.try_send_request(http2::form(request, *scheme))).await?
        }
    };
    let strict = match requests {
        Requests::Http1(_, heads) => heads.is_strict(),
        // hyper bounds the list's bytes, not the number of its fields.
        Requests::Http2(..) => response.headers().len() <= *headers_max,
    };
    if strict { Ok(response) } else { Err(SendError::Ambiguous) }
}

/// Waits for what is made of a request that has been handed to the connection.
async fn answer(
    driver: &mut Driver,
    interim: &Counted,
    sent: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>>,
) -> Result<Response<Incoming>, SendError> {
    let mut sent = pin!(sent);
    tokio::select! {
        biased;
        () = interim.too_many.notified() => Err(SendError::Informational),
        sent = poll_fn(|cx| driver.poll(cx, |cx| sent.as_mut().poll(cx))) => sent.map_err(|mut error| {
            match error.take_message() {
                Some(request) => SendError::Unsent(Box::new(request), error.into_error()),
                None => SendError::Http(error.into_error()),
            }
        }),
    }
}

/// The transport under a connection that has switched protocols, and what was read of it beyond the response's head.
///
/// # Errors
/// Gives `upgraded` back if it was not made by [`handshake`] over an `I`.
pub fn into_io<I>(upgraded: Upgraded) -> Result<(I, Bytes), Upgraded>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let parts = upgraded.downcast::<TokioIo<AnswerFirst<ReadAlong<I>>>>()?;
    Ok((parts.io.into_inner().into_inner().into_inner(), parts.read_buf))
}

/// Interim responses to one request.
#[derive(Default)]
struct Counted {
    seen: AtomicU32,
    too_many: Notify,
}

impl Counted {
    /// Whether one more may come.
    fn count(&self, max: u32) -> bool {
        let may = self.seen.fetch_add(1, Ordering::Relaxed) < max;
        if !may {
            self.too_many.notify_one();
        }
        may
    }
}

#[cfg(test)]
mod tests;
