//! What ties a stream of HTTP/2 that was changed to another protocol to hyper's work of writing it.
//!
//! hyper ends the stream in order when its user's half is dropped, for whatever reason, and shows the user a stream that
//! the peer has cancelled as one that has ended. Only the work knows of the reset, and only dropping the work first makes
//! one. [`Carried`](super::Carried) is the user's side.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The tie of one stream: an extension of each request that may change its protocol over HTTP/2.
#[derive(Clone, Default)]
pub struct Tie(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The work's.
    writer: Option<Waker>,
    is_over: bool,
    look: Look,
    /// A half whose stream is to be reset. It must not be dropped before the work.
    given_up: Option<Box<dyn Send>>,
}

/// A question to the work: is the stream reset? It knows when it has been polled since.
#[derive(Default)]
enum Look {
    #[default]
    Unasked,
    Asked(Waker),
    Done,
}

impl Tie {
    /// hyper's work of writing the stream. It ends when the stream is given up.
    pub(crate) fn writer<F: Future<Output = ()>>(&self, work: F) -> Writer<F> {
        Writer { work: Box::pin(work), end: End(self.clone()) }
    }

    /// Asks whether the stream was reset; to be called when nothing more is to be read, and until it is ready.
    pub(super) fn poll_reset(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if state.is_over {
            return Poll::Ready(true);
        }
        if matches!(state.look, Look::Done) {
            return Poll::Ready(false);
        }
        state.look = Look::Asked(cx.waker().clone());
        wake(state);
        Poll::Pending
    }

    /// Resets the stream that `half` is of.
    pub(super) fn give_up(&self, half: impl Send + 'static) {
        let mut state = self.state();
        // Where no work is left, dropping the half is all that there is.
        if !state.is_over {
            state.given_up = Some(Box::new(half));
            wake(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the work, without the lock.
fn wake(state: MutexGuard<'_, State>) {
    let writer = state.writer.clone();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// See [`Tie::writer`]. The order of the fields is that of their drops.
pub(crate) struct Writer<F> {
    work: Pin<Box<F>>,
    end: End,
}

impl<F: Future<Output = ()>> Future for Writer<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let asked = {
            let mut state = self.end.0.state();
            if state.given_up.is_some() {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            match &state.look {
                Look::Asked(asker) => Some(asker.clone()),
                Look::Unasked | Look::Done => None,
            }
        };
        if self.work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(asker) = asked {
            self.end.0.state().look = Look::Done;
            asker.wake();
        }
        Poll::Pending
    }
}

/// Tells the other side that the work is gone.
struct End(Tie);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_over = true;
        let given_up = state.given_up.take();
        let look = std::mem::take(&mut state.look);
        drop(state);
        drop(given_up);
        if let Look::Asked(asker) = look {
            asker.wake();
        }
    }
}
