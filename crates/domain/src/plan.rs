//! Plans: what a tenant was sold, as numbers that nodes hold it to.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// What a tenant bought.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Plan {
    /// The installation is the tenant's own: it may use as much of a node as any one tenant gets.
    #[default]
    SelfHosted,
    /// For trying out, and for small services.
    Starter,
}

/// How much of one node a tenant may use. The node holds it to the smaller of each and its own bound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlanLimits {
    /// Agent sessions at a time.
    pub sessions_max: u16,
    /// Endpoints that are served at a time.
    pub endpoints_max: u16,
    /// Requests in flight.
    pub requests_max: u16,
    /// Connections of visitors at a time.
    pub connections_max: u16,
    /// Requests that may arrive in a second, and as many connections.
    pub arrivals_per_s_max: u16,
    /// How long a response, before its head and within it, a call of gRPC or a connection that changed to another protocol
    /// may be silent, in seconds.
    pub idle_s_max: u16,
}

/// A name that no plan has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no plan of this name; there are {}", Plan::ALL.map(Plan::name).join(" and "))]
pub struct PlanUnknown;

impl Plan {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SelfHosted, Self::Starter];

    /// Its name, as storage keeps it and people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelfHosted => "self-hosted",
            Self::Starter => "starter",
        }
    }

    /// What it allows.
    #[must_use]
    pub const fn limits(self) -> PlanLimits {
        match self {
            Self::SelfHosted => PlanLimits {
                sessions_max: 10_000,
                endpoints_max: 10_000,
                requests_max: 2_500,
                connections_max: 12_000,
                arrivals_per_s_max: u16::MAX,
                idle_s_max: 30 * 60,
            },
            Self::Starter => PlanLimits {
                sessions_max: 16,
                endpoints_max: 10,
                requests_max: 200,
                connections_max: 500,
                arrivals_per_s_max: 100,
                idle_s_max: 10 * 60,
            },
        }
    }
}

impl PlanLimits {
    /// How long there may be silence.
    #[must_use]
    pub const fn idle_max(self) -> Duration {
        Duration::from_secs(self.idle_s_max as u64)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Plan {
    type Err = PlanUnknown;

    fn from_str(text: &str) -> Result<Self, PlanUnknown> {
        Self::ALL.into_iter().find(|plan| plan.name() == text).ok_or(PlanUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, PlanUnknown};

    #[test]
    fn names_are_read_as_they_are_written() {
        for plan in Plan::ALL {
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
        for wrong in ["", "Starter", "starter ", "free"] {
            assert_eq!(wrong.parse::<Plan>(), Err(PlanUnknown));
        }
        assert_eq!(
            PlanUnknown.to_string(),
            "there is no plan of this name; there are self-hosted and starter"
        );
    }

    #[test]
    fn the_smaller_plan_is_smaller_in_everything() {
        let (large, small) = (Plan::SelfHosted.limits(), Plan::Starter.limits());
        assert!(small.sessions_max < large.sessions_max && small.endpoints_max < large.endpoints_max);
        assert!(small.requests_max < large.requests_max && small.connections_max < large.connections_max);
        assert!(small.arrivals_per_s_max < large.arrivals_per_s_max && small.idle_max() < large.idle_max());
    }
}
