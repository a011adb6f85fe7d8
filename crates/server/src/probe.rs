//! Members of pools are probed through their agents, end to end: those whose upstream is there now and then, so that no
//! visitor has to find out that it is gone, and the others until it is back.

use std::sync::Arc;
use std::time::Duration;

use adit_domain::Hostname;
use adit_domain::id::{EndpointId, InstanceId, RequestId};
use adit_mux::Answer;
use adit_process::shutdown::Phase;
use futures::stream::{self, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::choice::{Choice, Need};
use crate::health::Health;
use crate::limits::{
    PROBE_DEADLINE, PROBE_EVERY_MAX, PROBE_EVERY_MIN, PROBE_HEALTHY_EVERY, PROBES_AT_ONCE,
    UPSTREAM_CONNECT_DEADLINE,
};
use crate::member::Member;
use crate::node::Node;
use crate::routes::Route;
use crate::tunnel::Tunnel;

/// Probes the members of all pools until the node drains.
pub(crate) async fn watch(node: Arc<Node>) {
    let mut shutdown = node.shutdown.clone();
    let mut ticks = interval(PROBE_HEALTHY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.draining() => return,
            () = round(&node) => {}
        }
    }
}

/// One probe of each member that is in. A member alone is not probed: there is nobody to go to instead.
async fn round(node: &Arc<Node>) {
    let mut probes = Vec::new();
    for route in node.routes.all() {
        if route.members().len() < 2 {
            continue;
        }
        let healthy =
            route.members().iter().filter(|member| member.pooling.is_some() && member.health.is_up());
        for member in healthy {
            probes.push(look(Arc::clone(node), Arc::clone(&route), member.clone()));
        }
    }
    stream::iter(probes).for_each_concurrent(PROBES_AT_ONCE, |probe| probe).await;
}

async fn look(node: Arc<Node>, route: Arc<Route>, member: Member) {
    let Some(tunnel) = member.pick(&Choice::default(), Need::Stream) else { return };
    match timeout(PROBE_DEADLINE, takes_a_connection(tunnel, &route)).await {
        Ok(Ok(true)) => member.health.recover(),
        Ok(Err(Lost)) => {}
        Ok(Ok(false)) | Err(_) => {
            if member.health.fail_probe() {
                failed(&node, &route.claimed.hostname, tunnel);
            }
        }
    }
}

/// An upstream refused a connection, or did not take it in time. If it is behind a member of a pool, that is out from now
/// on, and a task probes it until it is back.
pub(crate) fn failed(node: &Arc<Node>, hostname: &Hostname, tunnel: &Tunnel) {
    let Some(route) = node.routes.get(hostname) else { return };
    let Some(member) = route.member(tunnel.instance).filter(|member| member.pooling.is_some()) else {
        return;
    };
    if !member.health.fail() {
        return;
    }
    tracing::info!(%hostname, instance = %tunnel.instance, "a member is out: its upstream is not there");
    let probe = Probe {
        node: Arc::clone(node),
        hostname: hostname.clone(),
        endpoint: route.endpoint(),
        instance: tunnel.instance,
        health: Arc::clone(&member.health),
    };
    drop(node.agent_tasks.spawn("health probe", probe.run()));
}

/// Looks after one member that is out.
struct Probe {
    node: Arc<Node>,
    hostname: Hostname,
    endpoint: EndpointId,
    instance: InstanceId,
    health: Arc<Health>,
}

impl Probe {
    /// Until the upstream takes a connection, or the member has left. Dropped, it lets the member in.
    async fn run(self) {
        let mut shutdown = self.node.shutdown.clone();
        tokio::select! {
            () = shutdown.draining() => {}
            () = self.until_back() => {}
        }
    }

    async fn until_back(&self) {
        let mut every = PROBE_EVERY_MIN;
        loop {
            sleep(every).await;
            let Some(route) = self.route() else { return };
            let Some(member) = self.member(&route) else { return };
            let Some(tunnel) = member.pick(&Choice::default(), Need::Stream) else { continue };
            if timeout(UPSTREAM_CONNECT_DEADLINE, takes_a_connection(tunnel, &route)).await == Ok(Ok(true)) {
                return;
            }
            every = every.saturating_mul(2).min(PROBE_EVERY_MAX);
        }
    }

    fn route(&self) -> Option<Arc<Route>> {
        self.node.routes.get(&self.hostname).filter(|route| route.endpoint() == self.endpoint)
    }

    /// An instance that left and came back is another member, with a health and probes of its own.
    fn member<'a>(&self, route: &'a Route) -> Option<&'a Member> {
        route.member(self.instance).filter(|member| Arc::ptr_eq(&member.health, &self.health))
    }
}

impl Drop for Probe {
    /// However it ends, also by a panic: nobody else lets the member in again. A node that drains leaves it out.
    fn drop(&mut self) {
        if self.node.shutdown.phase() == Phase::Running {
            self.health.recover();
            tracing::info!(hostname = %self.hostname, instance = %self.instance, "a member's probes have ended");
        }
    }
}

/// The agent was lost, which says nothing about its upstream.
#[derive(Debug, PartialEq, Eq)]
struct Lost;

/// Opens a stream as for a visitor, and ends it as soon as the agent has its upstream.
async fn takes_a_connection(tunnel: &Tunnel, route: &Route) -> Result<bool, Lost> {
    /// How long the upstream may take to end its side.
    const END_WITHIN: Duration = Duration::from_secs(1);
    let header = route.header(RequestId::new(), ([0_u16; 8], 0).into());
    let mut stream = tunnel.session.open(&header).await.map_err(|_| Lost)?;
    if stream.answer().await.map_err(|_| Lost)? != Answer::Dialled {
        return Ok(false);
    }
    // Datagrams have no end in good order: such a stream is cut.
    if stream.shutdown().await.is_ok() {
        let mut nothing = tokio::io::sink();
        let _ = timeout(END_WITHIN, tokio::io::copy(&mut stream, &mut nothing)).await;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
