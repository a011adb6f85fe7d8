//! Whoever says nothing, or everything but the end, is waited for until a deadline, no shorter and no longer. The clock stands
//! still while anybody has something to do, so times are exact.

mod leaving;
mod reaching;
mod staying;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use adit_agent::{Agent, Builder, Event, Events, Handle, ServerAddress, Upstream};
use adit_domain::ApiKey;
use adit_process::tasks::Tasks;

use crate::fake::{FakeServer, Network};

/// An agent that runs in memory, and everybody whom it can reach.
struct Scene {
    server: FakeServer,
    network: Arc<Network>,
    agent: Handle,
    events: Events,
}

/// An agent for `http://localhost:3000`, whose server has an API.
fn scene() -> Scene {
    let (server, network) = FakeServer::in_memory();
    server.serve_api();
    Scene::of(server, network)
}

fn builder(server: &FakeServer, network: &Arc<Network>, upstream: Upstream) -> Builder {
    let address = ServerAddress::parse(&server.address()).unwrap();
    let builder = Agent::builder(address, ApiKey::generate().unwrap(), upstream).connections(1);
    builder.ca_file(&server.ca_file).unwrap().network(Arc::clone(network) as Arc<_>)
}

impl Scene {
    fn of(server: FakeServer, network: Arc<Network>) -> Self {
        let upstream = Upstream::parse(&format!("http://localhost:{}", Network::UPSTREAM)).unwrap();
        let builder = builder(&server, &network, upstream);
        Self::built(server, network, builder)
    }

    fn built(server: FakeServer, network: Arc<Network>, builder: Builder) -> Self {
        let (agent, events) = builder.build().unwrap().start(&Tasks::new("agent under test"));
        Self { server, network, agent, events }
    }

    /// Waits for an event.
    async fn event(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.next().await.unwrap();
            if is_it(&event) {
                return event;
            }
        }
    }

    /// Waits until the agent has given a try up.
    async fn disconnected(&mut self) {
        self.event(|event| matches!(event, Event::Disconnected { .. })).await;
    }
}

/// What this comes to, which must be so long from now.
async fn takes<F: Future>(expected: Duration, future: F) -> F::Output {
    adit_testkit::takes(expected, future).await.unwrap()
}
