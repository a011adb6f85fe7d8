//! The HTTP/1.1 client side of a relayed request: one connection over any transport, answers read strictly.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use answer_first::AnswerFirst;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::body::Body;
use crate::limits::{BUFFER_BYTES_MAX, ClientLimits};
use heads::{Heads, ReadAlong};

mod answer_first;
mod heads;

/// Sends requests on one connection, one after another.
pub struct Sender {
    requests: http1::SendRequest<Body>,
    heads: Heads,
}

impl Sender {
    /// Waits until the connection takes a request.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn ready(&mut self) -> Result<(), hyper::Error> {
        self.requests.ready().await
    }

    /// Whether the connection is known to have ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
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
    /// a number. Cut the connection.
    #[error("upstream's response is ambiguous")]
    Ambiguous,
    /// The exchange broke, or the answer was not HTTP. The upstream may have acted on the request.
    #[error("exchange with the upstream failed")]
    Http(#[source] hyper::Error),
}

/// Starts HTTP/1.1 on `io`. The second value drives the connection, upgrades included: spawn it. It ends when
/// the [`Sender`] is dropped and the last exchange is over.
///
/// Waits on nothing but the caller: deadlines for an answer belong to whoever knows the request.
///
/// # Errors
/// None are known today; hyper reserves the right.
pub async fn handshake<I>(
    io: I,
    limits: ClientLimits,
) -> Result<(Sender, impl Future<Output = hyper::Result<()>> + Send + use<I>), hyper::Error>
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
    Ok((Sender { requests, heads }, connection.with_upgrades()))
}

/// Sends one request and waits for the head of its final response; interim responses are passed over.
/// Dropping the future cuts the connection.
///
/// # Errors
/// [`SendError`], which tells apart what may be sent again.
pub async fn send(
    sender: &mut Sender,
    mut request: Request<Body>,
    limits: ClientLimits,
) -> Result<Response<Incoming>, SendError> {
    let interim = Arc::new(Interim::default());
    let counted = Arc::clone(&interim);
    hyper::ext::on_informational(&mut request, move |_| counted.count(limits.informational_max));
    sender.heads.expect();
    let response = tokio::select! {
        biased;
        () = interim.too_many.notified() => return Err(SendError::Informational),
        sent = sender.requests.try_send_request(request) => sent.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(Box::new(request), error.into_error()),
            None => SendError::Http(error.into_error()),
        })?,
    };
    if sender.heads.is_strict() { Ok(response) } else { Err(SendError::Ambiguous) }
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

#[derive(Default)]
struct Interim {
    seen: AtomicU32,
    too_many: Notify,
}

impl Interim {
    fn count(&self, max: u32) {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= max {
            self.too_many.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
