//! The loop around a connection: hyper's progress, draining, deadlines.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use futures::future::MaybeDone;
use tokio::time::{Instant, sleep_until};

use super::ServeError;
use super::activity::{Activity, Then};

/// What became of a connection that was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// It has ended in peace.
    Ended,
    /// Nothing is on its way on it, and has not been for a while: it needs no buffers.
    Resting,
}

/// Drives `connection` to its end, or until it rests. It is told to close by `graceful` when `draining` is done or it idles,
/// and cut when a head is late or it does not close.
///
/// Written as one poll function because the deadlines follow from what polling the connection just did: they
/// are read again after each poll, and the one timer is moved only when it would ring too late.
pub(super) async fn watch<C, D>(
    mut connection: Pin<&mut C>,
    graceful: fn(Pin<&mut C>),
    mut draining: Pin<&mut MaybeDone<D>>,
    activity: &Activity,
) -> Result<Watch, ServeError>
where
    C: Future<Output = hyper::Result<()>>,
    D: Future<Output = ()>,
{
    let mut closing = None;
    let (first, _) = activity.due(closing);
    let mut timer = pin!(sleep_until(first));
    poll_fn(move |cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                // A peer that hangs up on our goodbye is at peace with us.
                let peace = closing.is_some() && activity.is_quiet();
                return Poll::Ready(match ended {
                    Err(_) if activity.is_flooded() => Err(ServeError::Flood),
                    Err(error) if !peace => Err(ServeError::Http(error)),
                    _ => Ok(Watch::Ended),
                });
            }
            if closing.is_none() && draining.as_mut().poll(cx).is_ready() {
                closing = Some(Instant::now());
                graceful(connection.as_mut());
                continue;
            }
            let (at, then) = activity.due(closing);
            if at < timer.deadline() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() < at {
                timer.as_mut().reset(at);
                continue;
            }
            match then {
                Then::Recheck => {}
                Then::CutLate => return Poll::Ready(Err(ServeError::HeadDeadline)),
                Then::CutGone => return Poll::Ready(Err(ServeError::Gone)),
                Then::Cut => return Poll::Ready(Ok(Watch::Ended)),
                Then::Rest => return Poll::Ready(Ok(Watch::Resting)),
                Then::Close => {
                    closing = Some(Instant::now());
                    graceful(connection.as_mut());
                }
            }
        }
    })
    .await
}
