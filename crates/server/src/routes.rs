//! Which tunnels serve which host name, right now, on this node.

mod removed;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, InstanceId, RequestId, SessionId};
use adit_domain::{EndpointKind, Epoch, Hostname, Pooling, Sticky};
use adit_wire::stream::{STREAM_HEADER_VERSION, StreamHeader};
use thiserror::Error;

use crate::balance::{self, Candidate, Turn};
use crate::choice::{Choice, Need};
use crate::limits::MEMBERS_MAX;
use crate::member::Member;
use crate::metering::Meter;
use crate::places::{NoPlace, Place};
use crate::pool::Idle;
use crate::share::EndpointShare;
use crate::sticky::Mark;
use crate::tunnel::Tunnel;
use removed::Removed;

/// The live endpoints of this node. Readers take a snapshot of one route and never wait for a writer's I/O.
#[derive(Default)]
pub(crate) struct Routes {
    by_name: RwLock<HashMap<Hostname, Arc<Route>>>,
    /// Looked at with `by_name` locked for writing.
    removed: Removed,
}

/// One live endpoint: who serves it, in which epoch.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) claimed: Claimed,
    /// Counts what it carries, whatever the epoch.
    pub(crate) meter: Arc<Meter>,
    /// What it may use, over all its tunnels.
    pub(crate) share: Arc<EndpointShare>,
    /// Its place among its tenant's endpoints, whatever the epoch.
    place: Arc<Place>,
    members: Vec<Member>,
    turn: Arc<Turn>,
}

/// Why a tunnel does not serve what was claimed for it.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BindError {
    /// A newer epoch serves this endpoint here already, or it was removed since.
    #[error("a newer epoch serves this endpoint")]
    Stale,
    /// Another agent serves it in the same epoch, and the two do not share it. A directory gives an epoch to one agent
    /// only, unless it was restored from a backup and counts again what it has forgotten.
    #[error("another agent serves this endpoint in the same epoch")]
    Ambiguous,
    /// As many sessions serve it as may.
    #[error("too many sessions serve this endpoint")]
    Full,
    /// As many endpoints of the tenant are served here as may be.
    #[error("too many endpoints of the tenant are served")]
    NoPlace(#[from] NoPlace),
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

    /// The same, unless it is of another kind: a name that was removed can come back as one.
    pub(crate) fn get_kind(&self, hostname: &Hostname, kind: EndpointKind) -> Option<Arc<Route>> {
        self.get(hostname).filter(|route| route.claimed.kind == kind)
    }

    /// Lets `tunnel` serve what was claimed, tells who waits for that, and returns the route that this ends: that of an older epoch, or of another
    /// endpoint which had this name.
    ///
    /// # Errors
    /// [`BindError::Stale`] when a newer epoch is already there: answers of the directory can arrive out of order.
    /// [`BindError::Ambiguous`] when the same epoch is, of an agent that does not share.
    /// [`BindError::Full`] when the instance has as many sessions, or the endpoint as many instances, as it may, and
    /// [`BindError::NoPlace`] when the tenant has as many endpoints. Nothing has changed then.
    pub(crate) fn bind(
        &self,
        claimed: &Claimed,
        tunnel: Arc<Tunnel>,
    ) -> Result<Option<Arc<Route>>, BindError> {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let held = routes.get(&claimed.hostname);
        let is_same_endpoint = |route: &&Arc<Route>| route.endpoint() == claimed.endpoint;
        let newer = held.filter(is_same_endpoint).filter(|route| route.claimed.epoch > claimed.epoch);
        if newer.is_some() || self.removed.voids(claimed) {
            return Err(BindError::Stale);
        }
        let joined = held.filter(is_same_endpoint).filter(|route| route.claimed.epoch == claimed.epoch);
        if joined.is_some_and(|route| !route.may_join(&tunnel)) {
            return Err(BindError::Ambiguous);
        }
        // What an ended route still carries goes on in its places, whoever has the endpoint now.
        let share = held.filter(is_same_endpoint).map_or(&tunnel.share, |route| &route.share);
        let place = match held.filter(is_same_endpoint) {
            Some(route) => Arc::clone(&route.place),
            None => Arc::new(share.endpoint()?),
        };
        let (meter, share) = (Arc::clone(&tunnel.meter), Arc::clone(share));
        let waited_for = Arc::clone(&tunnel.hold);
        let mut route =
            joined.map_or_else(|| Route::new(claimed, meter, (share, place)), |route| Route::clone(route));
        let ended = held.filter(|_| joined.is_none()).cloned();
        if !route.add(tunnel) {
            return Err(BindError::Full);
        }
        routes.insert(claimed.hostname.clone(), Arc::new(route));
        // Here, where nobody else binds or unbinds: what was last is what those who wait are told last.
        waited_for.bound();
        Ok(ended)
    }

    /// Takes the tunnel of one session off an endpoint; another epoch is left alone. Returns whether the endpoint was
    /// served by this one and is served by none now, which `tell_last` tells before anybody else can bind it.
    pub(crate) fn unbind(&self, claimed: &Claimed, session: SessionId, tell_last: impl FnOnce()) -> bool {
        self.take_off(claimed, |route| route.remove(session).into_iter().collect(), tell_last)
    }

    /// The same with all tunnels of one agent.
    pub(crate) fn unbind_agent(
        &self,
        claimed: &Claimed,
        instance: InstanceId,
        tell_last: impl FnOnce(),
    ) -> bool {
        self.take_off(claimed, |route| route.remove_agent(instance), tell_last)
    }

    fn take_off(
        &self,
        claimed: &Claimed,
        take: impl FnOnce(&mut Route) -> Vec<Arc<Tunnel>>,
        tell_last: impl FnOnce(),
    ) -> bool {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = routes.get(&claimed.hostname) else { return false };
        if (held.endpoint(), held.claimed.epoch) != (claimed.endpoint, claimed.epoch) {
            return false;
        }
        let mut route = Route::clone(held);
        let gone = take(&mut route);
        if gone.is_empty() {
            return false;
        }
        let none_left = route.members.is_empty();
        if none_left {
            routes.remove(&claimed.hostname);
            tell_last();
        } else {
            routes.insert(claimed.hostname.clone(), Arc::new(route));
        }
        drop(routes);
        for tunnel in gone {
            tunnel.pool.clear();
        }
        none_left
    }

    /// Takes an endpoint out that was removed, unless it is served in the epoch `before` or a later one, and returns its
    /// route. `tell_last` tells who waits for its name before anybody else can bind that.
    pub(crate) fn remove(
        &self,
        endpoint: EndpointId,
        before: Epoch,
        tell_last: impl FnOnce(&Hostname),
    ) -> Option<Arc<Route>> {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        self.removed.note(endpoint, before);
        let is_removed = |route: &Arc<Route>| route.endpoint() == endpoint && route.claimed.epoch < before;
        let hostname = routes.values().find(|route| is_removed(route))?.claimed.hostname.clone();
        let removed = routes.remove(&hostname)?;
        tell_last(&hostname);
        Some(removed)
    }

    /// What is served here.
    pub(crate) fn claimed(&self) -> Vec<Claimed> {
        let routes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        routes.values().map(|route| route.claimed.clone()).collect()
    }

    /// Every route as it is now, for work that looks through all of them.
    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Every tunnel of this node, for work that looks through all of them.
    pub(crate) fn tunnels(&self) -> Vec<Arc<Tunnel>> {
        let routes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        routes.values().flat_map(|route| route.tunnels().cloned()).collect()
    }
}

impl Route {
    fn new(claimed: &Claimed, meter: Arc<Meter>, (share, place): (Arc<EndpointShare>, Arc<Place>)) -> Self {
        let turn = Arc::new(Turn::new());
        Self { claimed: claimed.clone(), meter, share, place, members: Vec::new(), turn }
    }

    /// What a stream for this route begins with.
    pub(crate) fn header(&self, request: RequestId, visitor: SocketAddr) -> StreamHeader {
        StreamHeader {
            version: STREAM_HEADER_VERSION,
            kind: self.claimed.kind.into(),
            flags: 0,
            endpoint: self.endpoint(),
            epoch: self.claimed.epoch,
            request,
            visitor,
        }
    }

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

    /// The agents that serve it.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this instance.
    pub(crate) fn member(&self, instance: InstanceId) -> Option<&Member> {
        self.members.iter().find(|member| member.instance == instance)
    }

    /// How its agents share it, if they do: as the one says that was started last.
    pub(crate) fn pooling(&self) -> Option<Pooling> {
        self.members.iter().max_by_key(|member| member.instance).and_then(|member| member.pooling)
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

    /// Closes one idle upstream connection of a tunnel that `choice` leaves; `false` if none has any.
    pub(crate) fn give_up_idle(&self, choice: &Choice) -> bool {
        self.tunnels().any(|tunnel| choice.may_use(tunnel) && tunnel.pool.give_up_one())
    }

    /// Whether [`Route::pick`] would find one.
    pub(crate) fn has_left(&self, choice: &Choice) -> bool {
        self.members.iter().any(|member| member.pick(choice, Need::Stream).is_some())
    }

    fn find(&self, choice: &mut Choice, need: Need) -> Option<Arc<Tunnel>> {
        if let [only] = self.members.as_slice() {
            return only.pick(choice, need).cloned();
        }
        let able: Vec<_> = self.members.iter().filter(|member| member.pick(choice, need).is_some()).collect();
        let chosen = able.iter().find(|member| choice.member == Some(member.instance)).copied();
        let member = chosen.or_else(|| self.choose(choice, able))?;
        let tunnel = member.pick(choice, need).cloned();
        choice.member = Some(member.instance);
        tunnel
    }

    /// One of those who could take a request. Those whose upstream is not there, or who do not answer, are used only if
    /// there is nobody else.
    fn choose<'a>(&'a self, choice: &Choice, mut able: Vec<&'a Member>) -> Option<&'a Member> {
        if let [] | [_] = able.as_slice() {
            return able.first().copied();
        }
        keep_if_any(&mut able, |member| member.health.is_up());
        keep_if_any(&mut able, |member| {
            member.pick(choice, Need::Idle).is_some_and(|tunnel| !tunnel.is_silent())
        });
        let pooling = self.pooling().unwrap_or_default();
        let candidates: Vec<_> =
            able.iter().map(|member| Candidate { instance: member.instance, busy: member.busy() }).collect();
        let at = self
            .remembered(pooling, choice, &candidates)
            .or_else(|| self.turn.choose(pooling.balance, &candidates))?;
        able.get(at).copied()
    }

    /// The member that a visitor comes back to, if it is there.
    fn remembered(&self, pooling: Pooling, choice: &Choice, candidates: &[Candidate]) -> Option<usize> {
        match pooling.sticky {
            Sticky::No => None,
            Sticky::Cookie => {
                let mark = choice.visitor.mark?;
                candidates.iter().position(|candidate| self.mark(candidate.instance) == mark)
            }
            Sticky::Address => balance::by_address(choice.visitor.address?, candidates),
        }
    }

    /// What stands in the cookie of a visitor of this member.
    pub(crate) fn mark(&self, instance: InstanceId) -> Mark {
        Mark::of(self.endpoint(), instance)
    }

    /// Whether a tunnel in the same epoch is of the same agent, or of one that shares with all others.
    fn may_join(&self, tunnel: &Tunnel) -> bool {
        let is_shared =
            tunnel.pooling.is_some() && self.members.iter().all(|member| member.pooling.is_some());
        is_shared || self.members.iter().all(|member| member.instance == tunnel.instance)
    }

    fn add(&mut self, tunnel: Arc<Tunnel>) -> bool {
        let at = self.members.iter().position(|member| member.instance == tunnel.instance);
        let at = at.unwrap_or_else(|| {
            self.members.push(Member::new(tunnel.instance));
            self.members.len().saturating_sub(1)
        });
        if at >= MEMBERS_MAX {
            return false;
        }
        self.members.get_mut(at).is_some_and(|member| member.add(tunnel))
    }

    fn remove(&mut self, session: SessionId) -> Option<Arc<Tunnel>> {
        let gone = self.members.iter_mut().find_map(|member| member.remove(session));
        self.members.retain(|member| !member.tunnels().is_empty());
        gone
    }

    fn remove_agent(&mut self, instance: InstanceId) -> Vec<Arc<Tunnel>> {
        let gone = self.member(instance).map(|member| member.tunnels().to_vec());
        self.members.retain(|member| member.instance != instance);
        gone.unwrap_or_default()
    }
}

/// Drops what does not do, unless that is all there is.
fn keep_if_any<'a>(able: &mut Vec<&'a Member>, does: impl Fn(&'a Member) -> bool) {
    if able.iter().any(|member| does(member)) {
        able.retain(|member| does(member));
    }
}

#[cfg(test)]
mod tests;
