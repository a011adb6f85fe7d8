//! The opaque HTTP service that crates hand to each other.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::body::Body;

/// Who sent a request, for a service behind the listener: an extension of the request, set by whoever accepted its
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// A piece of work that belongs to a connection and must be spawned beside it.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A cloneable, boxed service: whole application behind one type. It cannot fail; what goes wrong inside
/// is an answer.
pub type HttpService = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// Boxes any service of the right shape, for instance `tower::service_fn(..)` or a router.
pub fn boxed<S>(service: S) -> HttpService
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service)
}
