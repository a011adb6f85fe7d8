//! How an agent wants its upstream spoken to.

use adit_domain::{Handling, Retry, Reuse, UpstreamProtocol};
use adit_process::tasks::Tasks;
use adit_web::client::{self, Sender};
use adit_web::hygiene::{self, Forwarded, Scheme};
use adit_web::limits::ClientLimits;
use adit_web::service::Work;
use adit_wire::control::Bind;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// What of a bind concerns the words between node and upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    protocol: UpstreamProtocol,
    /// Sent in the place of the visitor's.
    host: Option<Authority>,
    handling: Handling,
}

/// A host header that is none.
#[derive(Debug, Error)]
#[error("the host header for the upstream is not a host")]
pub(crate) struct NoHost;

impl Manner {
    /// What this bind asks for.
    ///
    /// # Errors
    /// The host header is none.
    pub(crate) fn of(bind: &Bind) -> Result<Self, NoHost> {
        let host = match bind.host_header.as_str() {
            "" => None,
            // Names of computers may have what public names may not, as an underscore.
            text => {
                let host = Authority::try_from(text).map_err(|_| NoHost)?;
                let is_plain = !text.contains('@') && !host.host().is_empty();
                let has_port = text.len() == host.host().len() || host.port_u16().is_some();
                Some(host).filter(|_| is_plain && has_port).ok_or(NoHost).map(Some)?
            }
        };
        Ok(Self { protocol: bind.upstream, host, handling: bind.handling })
    }

    /// Whether a connection to the upstream can change to another protocol, such as WebSocket.
    pub(crate) fn can_upgrade(&self) -> bool {
        self.protocol == UpstreamProtocol::Http1
    }

    /// Whether a connection may carry a request after another. One that was used before may be about to end, and what is
    /// lost with it must be sent again.
    pub(crate) fn reuses_connections(&self) -> bool {
        self.handling == Handling { reuse: Reuse::Shared, retry: Retry::Safe }
    }

    /// Whether a request that the upstream may have acted on may be sent again.
    pub(crate) fn sends_again(&self) -> bool {
        self.handling.retry == Retry::Safe
    }

    /// Whether the upstream speaks HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        match self.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::H2c | UpstreamProtocol::H2 => true,
        }
    }

    /// Whether the upstream says something before it has seen a request: its settings (RFC 9113, section 3.4).
    pub(crate) fn speaks_first(&self) -> bool {
        self.speaks_http2()
    }

    /// Starts to speak HTTP on a stream. What goes on beside the sender are such tasks; they end when the sender
    /// is dropped or the stream ends, and their errors reach the sender.
    ///
    /// # Errors
    /// The stream has ended.
    pub(crate) async fn speak<I>(&self, tasks: &Tasks, stream: I) -> Result<Sender, hyper::Error>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = ClientLimits::default();
        let scheme = match self.protocol {
            UpstreamProtocol::Http1 => return client::handshake(stream, limits).await,
            UpstreamProtocol::H2c => Scheme::Http,
            UpstreamProtocol::H2 => Scheme::Https,
        };
        let beside = tasks.clone();
        let spawn = move |work: Work| drop(beside.spawn("http/2 to an upstream", work));
        client::handshake_http2(stream, scheme, spawn, limits).await
    }

    /// Puts the host that the upstream is to see into a request.
    pub(crate) fn dress(&self, request: &mut HeaderMap) {
        let host = self.host.as_ref().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if let Some(host) = host {
            request.insert(HOST, host);
        }
    }

    /// Turns a place at the upstream that its response names back into one that the visitor can go to.
    pub(crate) fn undress(&self, response: &mut HeaderMap, visitor: &Forwarded) {
        if let Some(host) = &self.host {
            hygiene::location(response, host, visitor);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_domain::id::InstanceId;
    use adit_domain::{EndpointKind, Epoch, Handling, Retry, Reuse, UpstreamProtocol};
    use adit_wire::control::Bind;
    use http::HeaderMap;
    use http::header::HOST;

    use super::Manner;

    fn bind(host_header: &str) -> Bind {
        Bind {
            request: 1,
            kind: EndpointKind::Http,
            hostname: None,
            port: None,
            label: String::new(),
            upstream: UpstreamProtocol::Http1,
            host_header: host_header.to_owned(),
            instance: InstanceId::new(),
            prior_epoch: Epoch::NONE,
            pooling: None,
            handling: Handling::default(),
        }
    }

    #[test]
    fn connections_are_used_again_where_that_harms_nobody() {
        for (reuse, retry, reuses, again) in [
            (Reuse::Shared, Retry::Safe, true, true),
            (Reuse::Off, Retry::Safe, false, true),
            (Reuse::Shared, Retry::Off, false, false),
            (Reuse::Off, Retry::Off, false, false),
        ] {
            let manner = Manner::of(&Bind { handling: Handling { reuse, retry }, ..bind("") }).unwrap();
            assert_eq!((manner.reuses_connections(), manner.sends_again()), (reuses, again));
        }
    }

    #[test]
    fn the_host_is_the_agents_or_the_visitors() {
        for (asked, sent) in [
            ("", "a.example"),
            ("localhost:3000", "localhost:3000"),
            ("my_app.lan", "my_app.lan"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "a.example".parse().unwrap());
            Manner::of(&bind(asked)).unwrap().dress(&mut headers);
            assert_eq!(headers.get(HOST).unwrap(), sent);
        }
        for wrong in
            ["u@a.example", "a.example:", "a.example:x", "a.example:65536", "a.example/b", ":80", "a b"]
        {
            assert!(Manner::of(&bind(wrong)).is_err(), "{wrong}");
        }
    }
}
