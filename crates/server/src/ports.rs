//! The public ports on which this node listens, one for each endpoint that has one and is served here.

mod listener;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_domain::id::EndpointId;
use adit_net::listen::BindError;
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::Tasks;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::limits::PORT_OPEN_DEADLINE;
use listener::Listener;

/// The listeners, by endpoint. A listener is opened when its endpoint is served and closed when it is served no more and
/// nobody is expected back, so visitors of an endpoint without an agent are refused, by the kernel and at once.
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
    /// It has died of a mistake and is not back yet.
    is_dead: Arc<AtomicBool>,
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

impl Ports {
    /// No listeners yet. They will be at this address.
    pub(crate) fn new(ip: IpAddr) -> Self {
        Self { ip, table: Arc::default() }
    }

    /// Listens on an endpoint's port, unless it does so already. `listen` binds it, and what it returns serves visitors as
    /// a task of `tasks` until it is told to drain or stop; a stopped one closes the port at once. One that panics is called
    /// again.
    pub(crate) async fn open<L, F>(
        &self,
        endpoint: EndpointId,
        port: NonZeroU16,
        tasks: &Tasks,
        listen: L,
    ) -> Result<(), OpenError>
    where
        L: Fn(SocketAddr, Shutdown) -> Result<F, BindError> + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let deadline = Instant::now() + PORT_OPEN_DEADLINE;
        let address = SocketAddr::new(self.ip, port.get());
        loop {
            let (tasks, listen, is_dead) = (tasks.clone(), listen.clone(), Arc::default());
            let listener = Listener { address, tasks, listen, is_dead };
            let Some(mut earlier) = self.try_open(endpoint, port, listener)? else { return Ok(()) };
            timeout_at(deadline, earlier.stopped()).await.map_err(|_| OpenError::Deadline(port))?;
        }
    }

    /// Returns what to wait for, if an earlier listener has not ended yet.
    fn try_open<L, F>(
        &self,
        endpoint: EndpointId,
        port: NonZeroU16,
        listener: Listener<L>,
    ) -> Result<Option<Shutdown>, OpenError>
    where
        L: Fn(SocketAddr, Shutdown) -> Result<F, BindError> + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.table.lock();
        if state.is_closed {
            return Err(OpenError::Closed);
        }
        let vacant = match state.listening.entry(endpoint) {
            Entry::Occupied(mut held) if held.get().is_closing || !held.get().serves(port) => {
                held.get_mut().close();
                return Ok(Some(held.get().gone.clone()));
            }
            Entry::Occupied(_) => return Ok(None),
            Entry::Vacant(vacant) => vacant,
        };
        let ((trigger, shutdown), (end, gone)) = (Shutdown::new(), Shutdown::new());
        let open = listener.open()?;
        let place = Place { table: Arc::clone(&self.table), endpoint, _end: end };
        let (tasks, is_dead) = (listener.tasks.clone(), Arc::clone(&listener.is_dead));
        tasks.spawn("keep port", async move {
            let _place = place;
            listener.keep(open, shutdown).await;
        });
        vacant.insert(Listening { port, trigger, is_closing: false, is_dead, gone });
        Ok(None)
    }

    /// Closes the port of an endpoint, unless `is_needed` says that somebody came in between, or is expected.
    pub(crate) fn close_unless(&self, endpoint: EndpointId, is_needed: impl FnOnce() -> bool) {
        let mut state = self.table.lock();
        // Asked under the lock: whoever serves it from now on waits for the lock, and sees what was decided.
        if let Some(held) = state.listening.get_mut(&endpoint)
            && !is_needed()
        {
            held.close();
        }
    }

    /// Nothing new comes in at any port, for good.
    pub(crate) fn drain_all(&self) {
        let mut state = self.table.lock();
        state.is_closed = true;
        state.listening.values_mut().for_each(|held| held.trigger.drain());
    }
}

impl Listening {
    /// Whether visitors of this port are let in. Whoever binds the endpoint meanwhile must not believe that of a dead one.
    fn serves(&self, port: NonZeroU16) -> bool {
        self.port == port && !self.is_dead.load(Ordering::Acquire)
    }

    fn close(&mut self) {
        self.is_closing = true;
        self.trigger.stop();
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

    use std::io;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::num::NonZeroU16;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use adit_domain::id::EndpointId;
    use adit_net::accept::{AcceptLoop, ConnectionLimits, Gate};
    use adit_net::listen::{self, BindError};
    use adit_process::shutdown::Shutdown;
    use adit_process::tasks::Tasks;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::{OpenError, Ports};
    use crate::limits::{PORT_OPEN_DEADLINE, PORT_REOPEN_INTERVAL};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A port that was free a moment ago.
    async fn free_port() -> NonZeroU16 {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap()
    }

    async fn open(ports: &Ports, endpoint: EndpointId, port: NonZeroU16) -> Result<(), OpenError> {
        let tasks = Tasks::new("test");
        let set = tasks.clone();
        let listen = move |address, shutdown| {
            let gate = Gate::new(ConnectionLimits { connections_max: 8, per_address_max: 8 });
            let listener = listen::bind(address)?;
            let accepting = AcceptLoop { name: "test", listener, gate, tasks: set.clone() };
            Ok(accepting.run(shutdown, |_| std::future::ready(())))
        };
        ports.open(endpoint, port, &tasks, listen).await
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

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_does_not_end_is_waited_for_until_the_deadline() {
        let (ports, endpoint, tasks) = (Ports::new(HERE), EndpointId::new(), Tasks::new("test"));
        let endless = |_, _| Ok(std::future::pending());
        let [before, now] = [1, 2].map(|port| NonZeroU16::new(port).unwrap());
        ports.open(endpoint, before, &tasks, endless).await.unwrap();
        let begun = Instant::now();
        let opened = ports.open(endpoint, now, &tasks, endless).await;
        assert!(matches!(opened, Err(OpenError::Deadline(port)) if port == now), "{opened:?}");
        assert_eq!(begun.elapsed().as_millis(), PORT_OPEN_DEADLINE.as_millis());
    }

    /// It listens on nothing, and dies of a mistake as often as it is told to.
    #[tokio::test(start_paused = true)]
    async fn a_listener_that_panics_is_opened_again_until_it_is_not_wanted_any_more() {
        let (ports, endpoint, tasks) = (Ports::new(HERE), EndpointId::new(), Tasks::new("test"));
        let port = NonZeroU16::new(1).unwrap();
        let (opened, panics) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let (counted, planted) = (Arc::clone(&opened), Arc::clone(&panics));
        let listen = move |_, mut shutdown: Shutdown| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let planted = Arc::clone(&planted);
            if number == 1 {
                // The port is not free yet.
                let taken = io::ErrorKind::AddrInUse.into();
                return Err(BindError::InUse(SocketAddr::from(([127, 0, 0, 1], 1)), taken));
            }
            Ok(async move {
                tokio::select! {
                    () = planted.notified() => assert_eq!(number, u64::MAX, "a planted panic"),
                    () = shutdown.stopped() => {}
                }
            })
        };
        ports.open(endpoint, port, &tasks, listen).await.unwrap();
        panics.notify_one();
        let begun = Instant::now();
        while opened.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(PORT_REOPEN_INTERVAL / 10).await;
        }
        assert!(begun.elapsed() >= 2 * PORT_REOPEN_INTERVAL, "{:?}", begun.elapsed());
        assert_eq!((tasks.panics(), tasks.running()), (1, 2));
        panics.notify_one();
        while opened.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(PORT_REOPEN_INTERVAL / 10).await;
        }
        // Whoever binds it while it is dead binds it anew, and hears of what is wrong with it.
        panics.notify_one();
        while ports.table.lock().listening.values().all(|held| held.serves(port)) {
            tokio::task::yield_now().await;
        }
        let refused = |_, _| -> Result<std::future::Ready<()>, _> {
            let taken = io::ErrorKind::AddrInUse.into();
            Err(BindError::InUse(SocketAddr::from(([127, 0, 0, 1], 1)), taken))
        };
        let begun = Instant::now();
        assert!(matches!(ports.open(endpoint, port, &tasks, refused).await, Err(OpenError::Bind(_))));
        assert_eq!(begun.elapsed().as_millis(), 0);
        tasks.idle().await;
        assert!(ports.table.lock().listening.is_empty());
        assert_eq!((tasks.panics(), opened.load(Ordering::SeqCst)), (3, 4));
    }

    #[tokio::test]
    async fn nothing_is_opened_while_the_node_drains() {
        let (ports, endpoint, port) = (Ports::new(HERE), EndpointId::new(), free_port().await);
        open(&ports, endpoint, port).await.unwrap();
        ports.drain_all();
        assert!(matches!(open(&ports, EndpointId::new(), port).await, Err(OpenError::Closed)));
        while answers(port).await {
            tokio::task::yield_now().await;
        }
    }
}
