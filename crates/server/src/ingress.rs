//! How connections come in: the one TLS port of visitors and agents, and plain HTTP for development.

mod passthrough;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use adit_net::accept::{AcceptLoop, Accepted, ConnectionLimits, ConnectionPermit, Gate};
use adit_net::connection::Connection;
use adit_net::hello::{self, ClientHello};
use adit_net::io::{Buffered, EndOrReset, Replay, Socket};
use adit_net::listen::Listen;
use adit_net::network::Network;
use adit_net::tls;
use adit_process::shutdown::Shutdown;
use adit_web::hygiene::Scheme;
use adit_web::limits::ServeLimits;
use adit_web::serve::{self, ServeError};
use http::{Request, Version};
use hyper::body::Incoming;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use thiserror::Error;
use tokio::time::Instant;

use crate::limits::{CONNECTIONS_OF_DESCRIPTORS_PERCENT, HANDSHAKE_DEADLINE, VISITOR_UNSENT_BYTES_MAX};
use crate::node::Node;
use crate::places::NoPlace;
use crate::share::Refused;
use crate::visitor::raw::{self, Target, Unserved};
use crate::visitor::{Admission, VisitorConnection};
use crate::{agents, visitor};
use passthrough::Passthrough;

/// HTTP/2 in ALPN (RFC 9113, section 3.2).
const H2: &[u8] = b"h2";

/// The TLS port.
pub(crate) struct Public {
    node: Arc<Node>,
    visitors: Arc<ServerConfig>,
    agents: Arc<ServerConfig>,
}

#[derive(Debug, Error)]
enum IngressError {
    #[error(transparent)]
    Hello(#[from] hello::HelloError),
    #[error(transparent)]
    Handshake(#[from] tls::HandshakeError),
    #[error("nobody serves the name that was asked for, or nobody knows")]
    Unserved,
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("the tenant has as many connections as it may")]
    Refused(#[from] Refused),
    #[error("the node has as many visitors as it may")]
    Crowded(#[from] NoPlace),
    #[error("no key could be exported from the TLS connection")]
    Exporter(#[source] rustls::Error),
}

/// The gate of the node's listeners, which believes load balancers in these networks whom a connection comes from.
pub(crate) fn gate(descriptors: u64, limits: ConnectionLimits, trusted: &[Network]) -> Gate {
    // The node's own files must open whoever connects.
    let beside = descriptors.saturating_mul(CONNECTIONS_OF_DESCRIPTORS_PERCENT) / 100;
    let beside = usize::try_from(beside).unwrap_or(usize::MAX);
    let connections_max = limits.connections_max.min(beside).max(1);
    Gate::new(ConnectionLimits { connections_max, ..limits }).trusting(trusted)
}

/// Accepts plain HTTP from visitors until the node drains.
pub(crate) async fn plain<L: Listen>(node: Arc<Node>, listener: L, gate: Gate, shutdown: Shutdown) {
    let tasks = node.visitor_tasks.clone();
    let accepting = AcceptLoop { name: "plain visitor", listener, gate, tasks };
    let draining = shutdown.clone();
    let serve = move |Accepted { stream, peer, permit }: Accepted<L::Connection>| {
        let (node, draining) = (Arc::clone(&node), draining.clone());
        async move {
            let served = match node.visitors.take() {
                Ok(place) => {
                    let admission = Admission::new(permit, place, None);
                    let connection = VisitorConnection::new(peer, Scheme::Http, None, admission);
                    visit(node, stream, Version::HTTP_11, connection, draining)
                        .await
                        .map_err(IngressError::from)
                }
                Err(crowded) => {
                    Connection::reset_on_drop(&stream);
                    Err(crowded.into())
                }
            };
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "visitor's connection failed");
            }
        }
    };
    accepting.run(shutdown, serve).await;
}

impl Public {
    pub(crate) fn new(
        node: Arc<Node>,
        certificates: Arc<dyn ResolvesServerCert>,
    ) -> Result<Arc<Self>, tls::TlsConfigError> {
        let visitors = tls::public_server(Arc::clone(&certificates))?;
        let agents = tls::agent_server(certificates, adit_wire::ALPN)?;
        Ok(Arc::new(Self { node, visitors, agents }))
    }

    /// Accepts visitors and agents until the node drains.
    pub(crate) async fn accept<L: Listen>(self: Arc<Self>, listener: L, gate: Gate, shutdown: Shutdown) {
        let tasks = self.node.visitor_tasks.clone();
        let accepting = AcceptLoop { name: "connection", listener, gate, tasks };
        let draining = shutdown.clone();
        let serve = move |accepted: Accepted<L::Connection>| {
            let (public, draining) = (Arc::clone(&self), draining.clone());
            async move {
                let peer = accepted.peer;
                if let Err(error) = public.connection(accepted, draining).await {
                    tracing::debug!(%peer, %error, "connection failed");
                }
            }
        };
        accepting.run(shutdown, serve).await;
    }

    /// Boxed apart from what comes after it: a connection between two requests has no room for its handshake.
    async fn connection<S: Connection>(
        self: Arc<Self>,
        accepted: Accepted<S>,
        draining: Shutdown,
    ) -> Result<(), IngressError> {
        let mut leaving = draining.clone();
        let greeted = tokio::select! {
            greeted = Box::pin(self.greet(accepted, draining)) => greeted?,
            // Nothing has been asked yet, and a drain must not wait for who never asks.
            () = leaving.draining() => None,
        };
        match greeted {
            Some(serving) => Ok(serving.await?),
            None => Ok(()),
        }
    }

    /// Finds out who connects: a visitor to be served, or an agent, which becomes another set's task. One deadline covers
    /// the hello and the handshake.
    async fn greet<S: Connection>(
        &self,
        accepted: Accepted<S>,
        draining: Shutdown,
    ) -> Result<Option<Serving>, IngressError> {
        let Accepted { stream, peer, permit } = accepted;
        let deadline = Instant::now() + HANDSHAKE_DEADLINE;
        let (ClientHello { server_name, protocols }, stream) = hello::peek(stream, deadline).await?;
        if protocols.offer(adit_wire::ALPN) {
            self.agent(stream, peer.ip(), permit, deadline).await?;
            return Ok(None);
        }
        let place = self.node.visitors.take().inspect_err(|_| stream.get_ref().reset_on_drop())?;
        let stream = match passthrough::of(&self.node, server_name.as_ref(), deadline).await {
            Passthrough::No => stream,
            Passthrough::To(hostname) => {
                let (node, target) = (Arc::clone(&self.node), Target::Name(hostname));
                return Ok(Some(Box::pin(async move {
                    if let Err(Unserved(mut visitor)) = raw::carry(&node, &target, stream, peer).await {
                        passthrough::refuse(visitor.io(), Instant::now() + HANDSHAKE_DEADLINE).await;
                        visitor.complete();
                    }
                    drop((permit, place));
                    Ok(())
                })));
            }
            Passthrough::Nobody => {
                passthrough::refuse(stream, deadline).await;
                return Err(IngressError::Unserved);
            }
        };
        // Asked before the handshake, which is what a flood of connections costs.
        let route = server_name.as_ref().and_then(|name| self.node.routes.get(name));
        let entry = route.map(|route| route.share.connection(std::time::Instant::now())).transpose();
        let entry = entry.inspect_err(|_| stream.get_ref().reset_on_drop())?;
        let mut stream = tls::accept(Arc::clone(&self.visitors), stream, deadline).await?;
        stream.get_mut().1.set_buffer_limit(Some(VISITOR_UNSENT_BYTES_MAX));
        let admission = Admission::new(permit, place, entry);
        let connection = VisitorConnection::new(peer, Scheme::Https, server_name, admission);
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(H2) => Version::HTTP_2,
            _ => Version::HTTP_11,
        };
        Ok(Some(visit(Arc::clone(&self.node), stream, version, connection, draining)))
    }

    async fn agent<S: Connection>(
        &self,
        stream: Replay<S>,
        peer: IpAddr,
        permit: ConnectionPermit,
        deadline: Instant,
    ) -> Result<(), IngressError> {
        stream.get_ref().tune_agent_link();
        let stream = tls::accept(Arc::clone(&self.agents), Buffered::new(stream), deadline).await?;
        let exporter =
            tls::exporter(stream.get_ref().1, adit_wire::EXPORTER_LABEL).map_err(IngressError::Exporter)?;
        // Held once, and not by every future that it goes through.
        let (node, stream) = (Arc::clone(&self.node), Box::new(stream));
        // Sessions outlive the visitors when the node drains, so they are another set's tasks.
        self.node.agent_tasks.spawn("agent session", async move {
            agents::serve(node, stream, exporter, peer).await;
            drop(permit);
        });
        Ok(())
    }
}

/// A visitor's connection being served.
type Serving = Pin<Box<dyn Future<Output = Result<(), ServeError>> + Send>>;

/// Serves one visitor's connection. What is cut on it ends by a reset.
fn visit<S: Socket + Send + 'static>(
    node: Arc<Node>,
    stream: S,
    version: Version,
    connection: VisitorConnection,
    mut draining: Shutdown,
) -> Serving {
    let stream = EndOrReset::new(stream);
    let connection = Arc::new(connection);
    let leaving = Arc::clone(&connection);
    let tasks = node.visitor_tasks.clone();
    let service = tower::service_fn(move |request: Request<Incoming>| {
        // Boxed: hyper keeps room for one request's future as long as the connection lives.
        let handled = Box::pin(visitor::handle(Arc::clone(&node), Arc::clone(&connection), request));
        async move { Ok::<_, Infallible>(handled.await) }
    });
    let drained = async move {
        tokio::select! {
            () = draining.draining() => {}
            () = leaving.left() => {}
        }
    };
    let limits = ServeLimits::default();
    if version == Version::HTTP_2 {
        let spawn = move |work: serve::Work| drop(tasks.spawn("http/2 request", work));
        Box::pin(serve::http2(stream, service, spawn, limits, drained))
    } else {
        Box::pin(serve::http1(stream, service, limits, drained))
    }
}
