//! Both ends of a session, made from one connection.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use crate::{
    config::Config,
    control::Control,
    driver::{Driver, Opening, Side},
    incoming::Incoming,
    session::Session,
    shared::Shared,
};

/// The server's end. The first stream that the agent opens is the control stream; another one ends the session. `io`
/// is past the preface. Must be called inside a tokio runtime.
pub fn serve<T>(io: T, config: &Config) -> (Session, Control, Driver<T>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let streams_max = config.streams_opened_max();
    let shared = Shared::new(streams_max, config);
    let (control, pipe) = Control::pair(&shared);
    // Callers hold a place in the gate, so there are never more of them than places; those who have gone are cleared.
    let (requests, queue) = mpsc::channel(streams_max.max(1));
    let session = Session::new(shared.clone(), requests, config.open_deadline);
    let driver = Driver::new(io, config, shared, pipe, Side::Server(Opening::new(queue)));
    (session, control, driver)
}

/// The agent's end; it opens the control stream. `io` is past the preface. Must be called inside a tokio runtime.
pub fn connect<T>(io: T, config: &Config) -> (Incoming, Control, Driver<T>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let streams_max = config.streams_accepted_max();
    let shared = Shared::new(streams_max, config);
    let (control, pipe) = Control::pair(&shared);
    // A stream in the queue holds a place in the gate, so the queue is never full.
    let (arrivals, streams) = mpsc::channel(streams_max);
    let incoming = Incoming::new(shared.clone(), streams, config.header_deadline);
    let driver = Driver::new(io, config, shared, pipe, Side::Agent(arrivals));
    (incoming, control, driver)
}
