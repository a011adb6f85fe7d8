//! Which tunnels serve which host name, right now, on this node.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, SessionId};
use adit_domain::{Epoch, Hostname};
use thiserror::Error;

use crate::tunnel::Tunnel;

/// The live endpoints of this node. Readers take a snapshot of one route and never wait for a writer's I/O.
#[derive(Default)]
pub(crate) struct Routes {
    by_name: RwLock<HashMap<Hostname, Arc<Route>>>,
}

/// One live endpoint: who serves it, in which epoch.
pub(crate) struct Route {
    pub(crate) claimed: Claimed,
    pub(crate) tunnels: Vec<Arc<Tunnel>>,
}

/// A newer epoch serves this endpoint here already.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a newer epoch serves this endpoint")]
pub(crate) struct Stale;

impl Routes {
    /// The route of a host name, as it is now.
    pub(crate) fn get(&self, hostname: &Hostname) -> Option<Arc<Route>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(hostname).cloned()
    }

    /// Lets `tunnel` serve what was claimed, and returns the tunnels of an older epoch, which no longer do.
    ///
    /// # Errors
    /// [`Stale`] when a newer epoch is already there: answers of the directory can arrive out of order.
    pub(crate) fn bind(&self, claimed: &Claimed, tunnel: Arc<Tunnel>) -> Result<Vec<Arc<Tunnel>>, Stale> {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let mut replaced = Vec::new();
        let mut tunnels = Vec::new();
        if let Some(route) = routes.get(&claimed.hostname) {
            if route.claimed.epoch > claimed.epoch {
                return Err(Stale);
            }
            let (same, older) = (&mut tunnels, &mut replaced);
            let into = if route.claimed.epoch == claimed.epoch { same } else { older };
            into.extend(route.tunnels.iter().filter(|t| t.session_id != tunnel.session_id).cloned());
        }
        tunnels.push(tunnel);
        routes.insert(claimed.hostname.clone(), Arc::new(Route { claimed: claimed.clone(), tunnels }));
        Ok(replaced)
    }

    /// Takes the tunnel of one session off an endpoint; a newer epoch is left alone. Returns whether the endpoint was
    /// served by this one and is served by none now.
    pub(crate) fn unbind(&self, hostname: &Hostname, epoch: Epoch, session: SessionId) -> bool {
        let mut routes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = routes.get(hostname) else { return false };
        if route.claimed.epoch != epoch {
            return false;
        }
        let (gone, left): (Vec<_>, Vec<_>) =
            route.tunnels.iter().cloned().partition(|tunnel| tunnel.session_id == session);
        let none_left = left.is_empty();
        if none_left {
            routes.remove(hostname);
        } else {
            let claimed = route.claimed.clone();
            routes.insert(hostname.clone(), Arc::new(Route { claimed, tunnels: left }));
        }
        drop(routes);
        for tunnel in &gone {
            tunnel.pool.clear();
        }
        none_left && !gone.is_empty()
    }

    /// Every tunnel of this node, for work that looks through all of them.
    pub(crate) fn tunnels(&self) -> Vec<Arc<Tunnel>> {
        let routes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        routes.values().flat_map(|route| route.tunnels.iter().cloned()).collect()
    }
}

impl Route {
    /// The endpoint that this route serves.
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.claimed.endpoint
    }

    /// The tunnel that was bound last, of those whose session lives.
    ///
    /// An agent binds the same epoch from a new session when it has lost the old one, often seconds before this side can
    /// know: until the heartbeat tells, the older session looks alive and answers nothing.
    pub(crate) fn pick(&self) -> Option<&Arc<Tunnel>> {
        self.tunnels.iter().rev().find(|tunnel| !tunnel.session.is_closed())
    }
}
