//! HTTP/2 to an upstream.

use std::future::Future;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Version};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::guarded::Guarded;
use crate::body::Body;
use crate::hygiene::Scheme;
use crate::limits::{
    ClientLimits, H2_CONNECTION_WINDOW_BYTES, H2_FAULTY_STREAMS_MAX, H2_FRAME_BYTES_MAX,
    H2_SEND_BUFFER_BYTES_MAX, H2_STREAM_WINDOW_BYTES,
};
use crate::service::Work;

/// A connection that runs beside its sender.
pub(super) type Driver<I, E> = Connection<TokioIo<Guarded<I>>, Body, Spawn<E>>;

/// Starts a connection on `io`.
pub(super) async fn connect<I, E>(
    io: I,
    spawn: E,
    limits: ClientLimits,
) -> Result<(SendRequest<Body>, Driver<I, E>), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Fn(Work) + Clone + Send + Sync + Unpin + 'static,
{
    // h2 takes only lists below its bound.
    let head_bytes_end = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX).saturating_add(1);
    Builder::new(Spawn(spawn))
        .timer(TokioTimer::new())
        .max_header_list_size(head_bytes_end)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES_MAX)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .max_local_error_reset_streams(H2_FAULTY_STREAMS_MAX)
        .handshake(TokioIo::new(Guarded::new(io)))
        .await
}

/// A clean HTTP/1.1 request (see [`crate::hygiene::request`]) as HTTP/2 says it (RFC 9113 section 8): its host stands in
/// `:authority`, and fields of the connection are gone. `te: trailers` stays.
pub(super) fn form(mut request: Request<Body>, scheme: Scheme) -> Request<Body> {
    let headers = request.headers_mut();
    for field in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(field);
    }
    *request.version_mut() = Version::HTTP_2;
    // A request that comes back unsent has this form already.
    let Some(host) = request.headers_mut().remove(HOST) else { return request };
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(scheme.as_str()).authority(host.as_bytes()).path_and_query(path);
    // The host was parsed when the request came. What cannot be written is refused by hyper.
    if let Ok(uri) = uri.build() {
        *request.uri_mut() = uri;
    }
    request
}

#[derive(Clone)]
pub(super) struct Spawn<E>(E);

impl<E, F> Executor<F> for Spawn<E>
where
    E: Fn(Work),
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        (self.0)(Box::pin(work));
    }
}
