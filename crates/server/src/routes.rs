//! Which tunnels serve which host name, right now, on this node.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use adit_authority::Claimed;
use adit_domain::Hostname;
use adit_domain::id::{EndpointId, SessionId};
use thiserror::Error;

use crate::choice::{Choice, Need};
use crate::member::Member;
use crate::metering::Meter;
use crate::pool::Idle;
use crate::share::EndpointShare;
use crate::tunnel::Tunnel;

/// The live endpoints of this node. Readers take a snapshot of one route and never wait for a writer's I/O.
#[derive(Default)]
pub(crate) struct Routes {
    by_name: RwLock<HashMap<Hostname, Arc<Route>>>,
}

/// One live endpoint: who serves it, in which epoch.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) claimed: Claimed,
    /// Counts what it carries, whatever the epoch.
    pub(crate) meter: Arc<Meter>,
    /// What it may use, over all its tunnels.
    pub(crate) share: Arc<EndpointShare>,
    members: Vec<Member>,
}

/// Why a tunnel does not serve what was claimed for it.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BindError {
    /// A newer epoch serves this endpoint here already.
    #[error("a newer epoch serves this endpoint")]
    Stale,
    /// As many sessions serve it as may.
    #[error("too many sessions serve this endpoint")]
    Full,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NoTunnel {
    /// No session lives that this request has not passed over.
    #[error("no agent session is left")]
    Gone,
    /// On each that lives as many streams are open as may be.
    #[error("every agent session is full")]
    Full,
}

impl Routes {
    /// The route of a host name, as it is now.
    pub(crate) fn get(&self, hostname: &Hostname) -> Option<Arc<Route>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(hostname).cloned()
    }

    /// Lets `tunnel` serve what was claimed, and returns the route that this ends: that of an older epoch, or of another
    /// endpoint which had this name.
    ///
    /// # Errors
    /// [`BindError::Stale`] when a newer epoch is already there: answers of the directory can arrive out of order.
    /// [`BindError::Full`] when the instance has as many sessions as it may. Nothing has changed then.
    pub(crate) fn bind(
        &self,
        claimed: &Claimed,
        tunnel: Arc<Tunnel>,
    ) -> Result<Option<Arc<Route>>, BindError> {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let held = routes.get(&claimed.hostname);
        let is_same_endpoint = |route: &&Arc<Route>| route.endpoint() == claimed.endpoint;
        if held.filter(is_same_endpoint).is_some_and(|route| route.claimed.epoch > claimed.epoch) {
            return Err(BindError::Stale);
        }
        let joined = held.filter(is_same_endpoint).filter(|route| route.claimed.epoch == claimed.epoch);
        // What an ended route still carries goes on in its places, whoever has the endpoint now.
        let share = held.filter(is_same_endpoint).map_or(&tunnel.share, |route| &route.share);
        let (meter, share) = (Arc::clone(&tunnel.meter), Arc::clone(share));
        let mut route = match joined {
            Some(route) => Route::clone(route),
            None => Route { claimed: claimed.clone(), meter, share, members: Vec::new() },
        };
        let ended = held.filter(|_| joined.is_none()).cloned();
        if !route.add(tunnel) {
            return Err(BindError::Full);
        }
        routes.insert(claimed.hostname.clone(), Arc::new(route));
        Ok(ended)
    }

    /// Takes the tunnel of one session off an endpoint; another epoch is left alone. Returns whether the endpoint was
    /// served by this one and is served by none now.
    pub(crate) fn unbind(&self, claimed: &Claimed, session: SessionId) -> bool {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = routes.get(&claimed.hostname) else { return false };
        if (held.endpoint(), held.claimed.epoch) != (claimed.endpoint, claimed.epoch) {
            return false;
        }
        let mut route = Route::clone(held);
        let Some(gone) = route.remove(session) else { return false };
        let none_left = route.members.is_empty();
        if none_left {
            routes.remove(&claimed.hostname);
        } else {
            routes.insert(claimed.hostname.clone(), Arc::new(route));
        }
        drop(routes);
        gone.pool.clear();
        none_left
    }

    /// What is served here.
    pub(crate) fn claimed(&self) -> Vec<Claimed> {
        let routes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        routes.values().map(|route| route.claimed.clone()).collect()
    }

    /// Every tunnel of this node, for work that looks through all of them.
    pub(crate) fn tunnels(&self) -> Vec<Arc<Tunnel>> {
        let routes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        routes.values().flat_map(|route| route.tunnels().cloned()).collect()
    }
}

impl Route {
    /// The endpoint that this route serves.
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.claimed.endpoint
    }

    /// All its tunnels, whether their sessions live or not.
    pub(crate) fn tunnels(&self) -> impl Iterator<Item = &Arc<Tunnel>> {
        self.members.iter().flat_map(Member::tunnels)
    }

    /// Whether its upstream can change to another protocol, such as WebSocket.
    pub(crate) fn can_upgrade(&self) -> bool {
        self.tunnels().any(|tunnel| tunnel.manner.can_upgrade())
    }

    /// Whether `tunnel` serves this route.
    pub(crate) fn has(&self, tunnel: &Arc<Tunnel>) -> bool {
        self.tunnels().any(|held| Arc::ptr_eq(held, tunnel))
    }

    /// The tunnel over which to open a stream for a request: of those that live, have room and were not passed over, the
    /// least loaded one.
    ///
    /// A caller whose try fails without a byte of the request delivered says so to `choice`, with
    /// [`Choice::pass_session`] or [`Choice::pass_member`], and picks again. It ends: each try passes over one more.
    ///
    /// # Errors
    /// See [`NoTunnel`].
    pub(crate) fn pick(&self, choice: &mut Choice) -> Result<Arc<Tunnel>, NoTunnel> {
        if let Some(tunnel) = self.find(choice, Need::Stream) {
            return Ok(tunnel);
        }
        let is_full = self.members.iter().any(|member| member.is_there(choice));
        Err(if is_full { NoTunnel::Full } else { NoTunnel::Gone })
    }

    /// Whether a request that waits for `tunnel` has a better place to go: a session that answers, with room for it.
    pub(crate) fn has_better(&self, choice: &Choice, tunnel: &Tunnel) -> bool {
        self.tunnels().any(|other| {
            other.session_id != tunnel.session_id
                && other.is_alive()
                && choice.may_use(other)
                && !other.is_silent()
                && other.session.has_room()
        })
    }

    /// An idle upstream connection of the least loaded tunnel, if it has one.
    pub(crate) fn reuse(&self, choice: &mut Choice) -> Option<(Arc<Tunnel>, Idle)> {
        let tunnel = self.find(choice, Need::Idle)?;
        let idle = tunnel.pool.take()?;
        Some((tunnel, idle))
    }

    /// Whether [`Route::pick`] would find one.
    pub(crate) fn has_left(&self, choice: &Choice) -> bool {
        self.members.iter().any(|member| member.pick(choice, Need::Stream).is_some())
    }

    fn find(&self, choice: &mut Choice, need: Need) -> Option<Arc<Tunnel>> {
        let able = |member: &&Member| member.pick(choice, need).is_some();
        let chosen = self.members.iter().filter(able).find(|member| choice.member == Some(member.instance));
        let member = chosen.or_else(|| self.members.iter().find(able))?;
        let tunnel = member.pick(choice, need).cloned();
        choice.member = Some(member.instance);
        tunnel
    }

    fn add(&mut self, tunnel: Arc<Tunnel>) -> bool {
        let at = self.members.iter().position(|member| member.instance == tunnel.instance);
        let at = at.unwrap_or_else(|| {
            self.members.push(Member::new(tunnel.instance));
            self.members.len().saturating_sub(1)
        });
        self.members.get_mut(at).is_some_and(|member| member.add(tunnel))
    }

    fn remove(&mut self, session: SessionId) -> Option<Arc<Tunnel>> {
        let gone = self.members.iter_mut().find_map(|member| member.remove(session));
        self.members.retain(|member| !member.tunnels().is_empty());
        gone
    }
}

#[cfg(test)]
mod tests;
