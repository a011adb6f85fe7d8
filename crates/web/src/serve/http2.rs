//! HTTP/2 connections.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_domain::id::RequestId;
use futures::future::maybe_done;
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::server::conn::http2::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service, ServiceExt};

use super::ServeError;
use super::activity::Activity;
use super::flight::Flight;
use super::io::Watched;
use super::stalled::{Handed, unless_stalled};
use super::watch::watch;
use crate::answer::{self, refuse};
use crate::body::Body;
use crate::limits::{
    H2_CONNECTION_WINDOW_BYTES, H2_FAULTY_STREAMS_MAX, H2_FRAME_BYTES_MAX, H2_PENDING_RESETS_MAX,
    H2_SEND_BUFFER_BYTES_MAX, H2_STREAM_WINDOW_BYTES, ServeLimits,
};
use crate::reject::Reject;
use crate::service::Work;

/// Serves one HTTP/2 connection (as ALPN `h2` says, or by prior knowledge) until it ends. The work of each
/// request is handed to `spawn`. Extended CONNECT is on, see [`crate::upgrade::Handshake`]; its requests have a
/// [`crate::upgrade::Tie`].
///
/// Draining as in [`super::http1`]: GOAWAY, then requests in flight are finished.
///
/// # Errors
/// [`ServeError`]; the peer closing is no error.
pub fn http2<I, S, E, D>(
    io: I,
    service: S,
    spawn: E,
    limits: ServeLimits,
    draining: D,
) -> impl Future<Output = Result<(), ServeError>> + Send + use<I, S, E, D>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    E: Fn(Work) + Clone + Send + Sync + Unpin + 'static,
    D: Future<Output = ()> + Send,
{
    let activity = Arc::new(Activity::http2(limits));
    let io = TokioIo::new(Watched::new(io, Arc::clone(&activity), limits.write_stall));
    let shared = Arc::clone(&activity);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let (flight, _) = Flight::begin(&shared);
        let service = service.clone();
        async move {
            if request.extensions().get::<Protocol>().is_some()
                && let Some(stream) = Handed::current()
            {
                request.extensions_mut().insert(stream.tie().clone());
            }
            let response = respond(service, request, limits.headers_max).await;
            Ok::<_, Infallible>(response.map(|body| flight.carry(body)))
        }
    });
    let connection = builder(spawn, &limits, &activity).serve_connection(io, service);
    let mut connection = Box::pin(connection);
    async move {
        let mut draining = pin!(maybe_done(draining));
        // What HTTP/2 holds between two requests, the peer's settings and windows, cannot be laid down.
        watch(connection.as_mut(), Connection::graceful_shutdown, draining.as_mut(), &activity)
            .await
            .map(drop)
    }
}

fn builder<E: Clone>(spawn: E, limits: &ServeLimits, activity: &Arc<Activity>) -> Builder<Spawn<E>> {
    let activity = Arc::clone(activity);
    let mut builder = Builder::new(Spawn { beside: spawn, patience: limits.write_stall, activity });
    // h2 takes only lists below its bound.
    let head_bytes_end = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX).saturating_add(1);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_header_list_size(head_bytes_end)
        .max_concurrent_streams(limits.h2_streams_max)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES_MAX)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_FAULTY_STREAMS_MAX)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_deadline);
    builder
}

async fn respond<S>(service: S, request: Request<Incoming>, headers_max: usize) -> Response<Body>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    // hyper bounds the list's bytes, not the number of its fields, and joins lengths that are stated twice.
    if request.headers().len() > headers_max {
        return refuse(Reject::HeadTooLarge, RequestId::new(), request.version(), request.headers());
    }
    if request.headers().get_all(CONTENT_LENGTH).iter().count() > 1 {
        return refuse(Reject::FramingAmbiguous, RequestId::new(), request.version(), request.headers());
    }
    match service.oneshot(request).await {
        Ok(response) => answer::identified(response),
        Err(never) => match never {},
    }
}

#[derive(Clone)]
struct Spawn<E> {
    beside: E,
    /// How long a stream's reader may take nothing.
    patience: Duration,
    activity: Arc<Activity>,
}

impl<E, F> Executor<F> for Spawn<E>
where
    E: Fn(Work),
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        // What was changed to goes on when its request is over.
        let flight = Flight::beside(&self.activity);
        // Work that other work begins writes what a stream was changed to.
        if let Some(stream) = Handed::current() {
            let writer = stream.tie().writer(work);
            (self.beside)(Box::pin(async move {
                writer.await;
                drop(flight);
            }));
            return;
        }
        let work = unless_stalled(work, self.patience);
        (self.beside)(Box::pin(async move {
            work.await;
            drop(flight);
        }));
    }
}
