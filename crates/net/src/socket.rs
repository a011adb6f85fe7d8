//! Options of TCP sockets, set where safe code can set them.
//!
//! A failure to set an option is never a reason to lose a connection: the peer may be gone already, and the first
//! read will say so better.

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, NOTSENT_BYTES};
#[cfg(target_os = "linux")]
use crate::limits::{LINK_NOTSENT_BYTES, LINK_USER_TIMEOUT};

/// Options for any connection: small writes leave at once, and the kernel notices a peer that is gone.
pub fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    noted("TCP_NODELAY", socket.set_tcp_nodelay(true));
    noted("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive()));
}

/// Options for a connection that this side opened, on top of [`tune`]; one that was accepted has them of its listener.
pub(crate) fn tune_dialled(stream: &TcpStream) {
    tune(stream);
    bound_unsent(&SockRef::from(stream), NOTSENT_BYTES);
}

/// Options for the connection between an agent and a node, on top of [`tune`]: unacknowledged bytes end it soon, and
/// little is queued in the kernel ahead of what is urgent. Only there: `TCP_USER_TIMEOUT` would also end a visitor
/// who merely pauses a download.
pub fn tune_agent_link(stream: &TcpStream) {
    tune(stream);
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        noted("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(LINK_USER_TIMEOUT)));
        bound_unsent(&socket, LINK_NOTSENT_BYTES);
    }
}

/// Makes the end of this connection a reset (RST), so that the peer cannot take it for a clean one, and nothing lingers:
/// when it is dropped, and when the process is killed. Bytes that are still queued then are lost.
pub fn reset_on_drop(stream: &TcpStream) {
    noted("SO_LINGER", stream.set_zero_linger());
}

/// Makes the end of this connection a clean one again.
pub fn end_on_drop(stream: &TcpStream) {
    noted("SO_LINGER", SockRef::from(stream).set_linger(None));
}

/// Bounds what the kernel takes of a peer that does not read. What is on its way to the peer does not count, so that a
/// long line stays full, as it would not with a small send buffer. Linux only: elsewhere the send buffer is the bound.
pub(crate) fn bound_unsent(socket: &SockRef<'_>, bytes: u32) {
    #[cfg(target_os = "linux")]
    noted("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(bytes));
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, bytes);
}

pub(crate) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES)
}

fn noted(option: &'static str, outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!(option, %error, "socket option not set");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use socket2::SockRef;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;

    use super::{end_on_drop, reset_on_drop, tune, tune_agent_link, tune_dialled};
    use crate::limits::{
        KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, LINK_NOTSENT_BYTES, LINK_USER_TIMEOUT,
        NOTSENT_BYTES,
    };
    use crate::listen;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_an_agent_link_gives_up_unacknowledged_bytes() {
        let (visitor, agent) = pair().await;
        tune(&visitor);
        tune_agent_link(&agent);
        let (visitor, agent) = (SockRef::from(&visitor), SockRef::from(&agent));
        for socket in [&visitor, &agent] {
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        }
        assert_eq!(visitor.tcp_user_timeout().unwrap(), None);
        assert_eq!(agent.tcp_user_timeout().unwrap(), Some(LINK_USER_TIMEOUT));
        assert_eq!(agent.tcp_notsent_lowat().unwrap(), LINK_NOTSENT_BYTES);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_was_accepted_and_what_was_dialled_keep_little_unsent() {
        let (dialled, accepted) = pair().await;
        tune_dialled(&dialled);
        tune(&accepted);
        for stream in [dialled, accepted] {
            assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), NOTSENT_BYTES);
        }
    }

    #[tokio::test]
    async fn a_reset_is_no_clean_end() {
        let (ends, mut sees_end) = pair().await;
        drop(ends);
        assert_eq!(sees_end.read(&mut [0]).await.unwrap(), 0);

        let (resets, mut sees_reset) = pair().await;
        reset_on_drop(&resets);
        drop(resets);
        let error = sees_reset.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

        let (ends, mut sees_end) = pair().await;
        reset_on_drop(&ends);
        end_on_drop(&ends);
        drop(ends);
        assert_eq!(sees_end.read(&mut [0]).await.unwrap(), 0);
    }
}
