//! The public ports on which this node listens, one for each endpoint that has one and is served here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_domain::id::EndpointId;
use adit_net::accept::{AcceptLoop, Accepted, Gate};
use adit_net::listen::{self, BindError};
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::Tasks;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::limits::PORT_OPEN_DEADLINE;

/// The listeners, by endpoint. A listener is opened when its endpoint is served and closed when it is served no more, so
/// visitors of an endpoint without an agent are refused, by the kernel and at once.
pub(crate) struct Ports {
    ip: IpAddr,
    table: Arc<Table>,
}

#[derive(Default)]
struct Table {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listening: HashMap<EndpointId, Listening>,
    /// The node drains: nothing is opened any more.
    is_closed: bool,
}

struct Listening {
    port: NonZeroU16,
    trigger: Trigger,
    is_closing: bool,
    /// Stopped when the port is free again.
    gone: Shutdown,
}

/// Why a port is not open.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// Another program has it, or the system does not let us.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An earlier listener does not end.
    #[error("port {0} was not free in time")]
    Deadline(NonZeroU16),
    /// The node drains.
    #[error("the node is shutting down")]
    Closed,
}

/// What a listener needs besides its port.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) gate: Gate,
    pub(crate) tasks: Tasks,
}

impl Ports {
    /// No listeners yet. They will be at this address.
    pub(crate) fn new(ip: IpAddr) -> Self {
        Self { ip, table: Arc::default() }
    }

    /// Listens on an endpoint's port, unless it does so already. Each connection goes to `serve`.
    pub(crate) async fn open<H, F>(
        &self,
        endpoint: EndpointId,
        port: NonZeroU16,
        site: Site,
        serve: H,
    ) -> Result<(), OpenError>
    where
        H: Fn(Accepted) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let deadline = Instant::now() + PORT_OPEN_DEADLINE;
        loop {
            let Some(mut earlier) = self.try_open(endpoint, port, &site, &serve)? else { return Ok(()) };
            timeout_at(deadline, earlier.stopped()).await.map_err(|_| OpenError::Deadline(port))?;
        }
    }

    /// Returns what to wait for, if an earlier listener has not ended yet.
    fn try_open<H, F>(
        &self,
        endpoint: EndpointId,
        port: NonZeroU16,
        site: &Site,
        serve: &H,
    ) -> Result<Option<Shutdown>, OpenError>
    where
        H: Fn(Accepted) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.table.lock();
        if state.is_closed {
            return Err(OpenError::Closed);
        }
        let vacant = match state.listening.entry(endpoint) {
            Entry::Occupied(mut held) if held.get().is_closing || held.get().port != port => {
                held.get_mut().close();
                return Ok(Some(held.get().gone.clone()));
            }
            Entry::Occupied(_) => return Ok(None),
            Entry::Vacant(vacant) => vacant,
        };
        let listener = listen::bind(SocketAddr::new(self.ip, port.get()))?;
        let ((trigger, shutdown), (end, gone)) = (Shutdown::new(), Shutdown::new());
        let place = Place { table: Arc::clone(&self.table), endpoint, _end: end };
        let (gate, tasks) = (site.gate.clone(), site.tasks.clone());
        let accepting = AcceptLoop { name: site.name, listener, gate, tasks };
        let serve = serve.clone();
        site.tasks.spawn("public port", async move {
            let _place = place;
            accepting.run(shutdown, serve).await;
        });
        vacant.insert(Listening { port, trigger, is_closing: false, gone });
        Ok(None)
    }

    /// Closes the port of an endpoint, unless `is_served` says that somebody came in between.
    pub(crate) fn close_unless(&self, endpoint: EndpointId, is_served: impl FnOnce() -> bool) {
        let mut state = self.table.lock();
        // Asked under the lock: whoever serves it from now on waits for the lock, and sees what was decided.
        if let Some(held) = state.listening.get_mut(&endpoint)
            && !is_served()
        {
            held.close();
        }
    }

    /// Closes every port, for good.
    pub(crate) fn close_all(&self) {
        let mut state = self.table.lock();
        state.is_closed = true;
        state.listening.values_mut().for_each(Listening::close);
    }
}

impl Listening {
    fn close(&mut self) {
        self.is_closing = true;
        self.trigger.drain();
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener's place in the table. It goes after the listener, however its task ends.
struct Place {
    table: Arc<Table>,
    endpoint: EndpointId,
    _end: Trigger,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().listening.remove(&self.endpoint);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::num::NonZeroU16;

    use adit_domain::id::EndpointId;
    use adit_net::accept::{ConnectionLimits, Gate};
    use adit_process::tasks::Tasks;
    use tokio::net::{TcpListener, TcpStream};

    use super::{OpenError, Ports, Site};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A port that was free a moment ago.
    async fn free_port() -> NonZeroU16 {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap()
    }

    async fn open(ports: &Ports, endpoint: EndpointId, port: NonZeroU16) -> Result<(), OpenError> {
        let gate = Gate::new(ConnectionLimits { connections_max: 8, per_address_max: 8 });
        let site = Site { name: "test", gate, tasks: Tasks::new("test") };
        ports.open(endpoint, port, site, |_| std::future::ready(())).await
    }

    async fn answers(port: NonZeroU16) -> bool {
        TcpStream::connect(SocketAddr::new(HERE, port.get())).await.is_ok()
    }

    #[tokio::test]
    async fn a_port_is_open_while_its_endpoint_is_served() {
        let (ports, endpoint, port) = (Ports::new(HERE), EndpointId::new(), free_port().await);
        for _ in 0..50 {
            open(&ports, endpoint, port).await.unwrap();
            open(&ports, endpoint, port).await.unwrap();
            ports.close_unless(endpoint, || true);
            assert!(answers(port).await);
            // Opened again at once, before the first one can have ended.
            ports.close_unless(endpoint, || false);
        }
        ports.close_unless(EndpointId::new(), || false);
        while answers(port).await {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_endpoint_can_move_to_another_port() {
        let (ports, endpoint) = (Ports::new(HERE), EndpointId::new());
        let (first, second) = (free_port().await, free_port().await);
        open(&ports, endpoint, first).await.unwrap();
        open(&ports, endpoint, second).await.unwrap();
        assert!(!answers(first).await && answers(second).await);
    }

    #[tokio::test]
    async fn a_port_of_another_program_is_not_taken() {
        let taken = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = NonZeroU16::new(taken.local_addr().unwrap().port()).unwrap();
        let ports = Ports::new(HERE);
        let endpoint = EndpointId::new();
        assert!(matches!(open(&ports, endpoint, port).await, Err(OpenError::Bind(_))));
        drop(taken);
        open(&ports, endpoint, port).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_opened_while_the_node_drains() {
        let (ports, endpoint, port) = (Ports::new(HERE), EndpointId::new(), free_port().await);
        open(&ports, endpoint, port).await.unwrap();
        ports.close_all();
        assert!(matches!(open(&ports, EndpointId::new(), port).await, Err(OpenError::Closed)));
        while answers(port).await {
            tokio::task::yield_now().await;
        }
    }
}
