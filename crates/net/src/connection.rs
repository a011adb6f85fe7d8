//! What the code above needs of a transport. In production that is TCP; a simulation brings its own.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::socket;

/// A connection with options of its own. What they do is told at their namesakes in [`socket`]; a transport that has no
/// such thing does nothing.
pub trait Connection: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin + 'static {
    /// See [`socket::tune`].
    fn tune(&self);
    /// See [`socket::tune_agent_link`].
    fn tune_agent_link(&self);
    /// See [`socket::reset_on_drop`].
    fn reset_on_drop(&self);
    /// See [`socket::end_on_drop`].
    fn end_on_drop(&self);
}

impl Connection for TcpStream {
    fn tune(&self) {
        socket::tune(self);
    }

    fn tune_agent_link(&self) {
        socket::tune_agent_link(self);
    }

    fn reset_on_drop(&self) {
        socket::reset_on_drop(self);
    }

    fn end_on_drop(&self) {
        socket::end_on_drop(self);
    }
}

impl Connection for Box<dyn Connection> {
    fn tune(&self) {
        self.as_ref().tune();
    }

    fn tune_agent_link(&self) {
        self.as_ref().tune_agent_link();
    }

    fn reset_on_drop(&self) {
        self.as_ref().reset_on_drop();
    }

    fn end_on_drop(&self) {
        self.as_ref().end_on_drop();
    }
}
