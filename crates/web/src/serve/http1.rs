//! HTTP/1 connections.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use adit_domain::id::RequestId;
use futures::future::{MaybeDone, maybe_done};
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep_until;
use tower::{Service, ServiceExt};

use super::ServeError;
use super::activity::Activity;
use super::flight::Flight;
use super::io::Watched;
use super::scan::Verdict;
use super::watch::{Watch, watch};
use crate::answer::{self, refuse};
use crate::body::Body;
use crate::limits::{BUFFER_BYTES_MAX, ServeLimits};
use crate::reject::Reject;

/// Serves one HTTP/1 connection until it ends, upgrades included: after a 101 the future completes and the
/// transport lives on in [`hyper::upgrade::on`].
///
/// Between two requests it holds no buffers, see [`ServeLimits::rest_after`]. So a service must not read a request's body when
/// its response has ended: what is left of it is gone then.
///
/// When `draining` completes the request in flight is finished, then the connection closes; an idle one
/// closes at once. Dropping the future cuts the connection.
///
/// # Errors
/// [`ServeError`]; the peer closing between requests is no error.
pub fn http1<I, S, D>(
    io: I,
    service: S,
    limits: ServeLimits,
    draining: D,
) -> impl Future<Output = Result<(), ServeError>> + Send + use<I, S, D>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    D: Future<Output = ()> + Send,
{
    let activity = Arc::new(Activity::http1(limits));
    let mut io = Box::new(Watched::new(io, Arc::clone(&activity), limits.write_stall));
    let shared = Arc::clone(&activity);
    let mut service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (flight, verdict) = Flight::begin(&shared);
        let activity = Arc::clone(&shared);
        let service = service.clone();
        let mut request = request;
        async move {
            let may_upgrade = request.extensions().get::<OnUpgrade>().is_some();
            // To HTTP/1.0 there are none (RFC 9110, section 15.2).
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(activity.lane().begin());
            }
            let response = respond(service, request, verdict).await;
            activity.lane().close();
            if may_upgrade && response.status() == StatusCode::SWITCHING_PROTOCOLS {
                activity.upgraded();
            }
            Ok::<_, Infallible>(response.map(|body| flight.carry(body)))
        }
    });
    async move {
        let mut draining = pin!(maybe_done(draining));
        loop {
            // Boxed, so that a connection is held once and not by every future around it.
            let mut connection =
                Box::pin(builder(&limits).serve_connection(TokioIo::new(io), service).with_upgrades());
            let graceful = UpgradeableConnection::graceful_shutdown;
            match watch(connection.as_mut(), graceful, draining.as_mut(), &activity).await? {
                Watch::Ended => return Ok(()),
                Watch::Resting => {}
            }
            let Some(parts) = Pin::into_inner(connection).into_parts() else { return Ok(()) };
            (io, service) = (parts.io.into_inner(), parts.service);
            rest(&mut io, draining.as_mut(), &activity).await;
        }
    }
}

fn builder(limits: &ServeLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        // hyper's own head timer cannot tell idle from late; `watch` keeps both times.
        .header_read_timeout(None)
        // The transport tells who has ended its side from who is gone.
        .half_close(true)
        .max_header_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
}

/// Waits for whatever comes next: bytes or their end, the drain, the end of the time that it may be idle. hyper, which begins
/// anew, sees to it.
async fn rest<I, D>(io: &mut Watched<I>, mut draining: Pin<&mut MaybeDone<D>>, activity: &Activity)
where
    I: AsyncRead + Unpin,
    D: Future<Output = ()>,
{
    let mut timer = pin!(sleep_until(activity.rests_until()));
    poll_fn(|cx| {
        // hyper finds a loss, too.
        let has_arrived = io.poll_arrived(cx).is_ready();
        let is_over =
            has_arrived || draining.as_mut().poll(cx).is_ready() || timer.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn respond<S>(service: S, request: Request<Incoming>, verdict: Verdict) -> Response<Body>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    if verdict == Verdict::Ambiguous || !plainly_chunked(request.headers()) {
        return refuse(Reject::FramingAmbiguous, RequestId::new(), request.version(), request.headers());
    }
    match service.oneshot(request).await {
        Ok(response) => answer::identified(response),
        Err(never) => match never {},
    }
}

/// Whether `Transfer-Encoding`, if there is one, is exactly `chunked`.
fn plainly_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
