//! The systems that are measured, each started from nothing and ended without a trace.

mod adit;
mod bore;
mod certificates;
mod fleet;
mod nginx;
mod program;
mod rathole;
mod running;
mod site;
mod ssh;

use std::path::Path;

use anyhow::{Result, bail};

use running::Endpoints;

pub use certificates::Certificates;
pub use fleet::{Fleet, Flooded};
pub use running::Running;
pub use site::{Distance, Place, Site};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The origin itself: what loopback and the driver allow.
    Origin,
    /// TLS for visitors, TLS in the tunnel.
    Adit,
    /// The same without metering: what that costs.
    AditUnmetered,
    /// TLS for visitors, no tunnel: what a reverse proxy on the same machine does.
    NginxTls,
    /// TLS for visitors by nginx, TLS in the tunnel by rathole: the pair that does what Adit does.
    NginxRathole,
    /// No TLS for visitors, TLS in the tunnel.
    RatholeTls,
    /// No TLS at all.
    Bore,
    /// No TLS for visitors, AES-128-GCM in the tunnel.
    Ssh,
}

impl System {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 8] = [
        Self::Origin,
        Self::Adit,
        Self::AditUnmetered,
        Self::NginxTls,
        Self::NginxRathole,
        Self::RatholeTls,
        Self::Bore,
        Self::Ssh,
    ];

    /// Its name in results and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Adit => "adit",
            Self::AditUnmetered => "adit-unmetered",
            Self::NginxTls => "nginx-tls",
            Self::NginxRathole => "nginx+rathole-tls",
            Self::RatholeTls => "rathole-tls",
            Self::Bore => "bore",
            Self::Ssh => "ssh",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|system| system.name() == name) {
            Some(system) => Ok(system),
            None => bail!("no system `{name}`: there are {}", Self::ALL.map(Self::name).join(", ")),
        }
    }

    /// Starts it and waits until an answer of the origin comes through it.
    pub async fn start(self, place: &Place, distance: Distance) -> Result<Running> {
        let site = Site::new(place, distance)?;
        let endpoints = match self {
            Self::Origin => Endpoints::origin(&site),
            Self::Adit => adit::start(&site, &[]).await?,
            Self::AditUnmetered => adit::start(&site, &["--no-metering"]).await?,
            Self::NginxTls => nginx::start(&site, site.origin())?,
            Self::NginxRathole => {
                let tunnel = rathole::start(&site)?;
                let front = nginx::start(&site, tunnel.public())?;
                tunnel.behind(front)
            }
            Self::RatholeTls => rathole::start(&site)?,
            Self::Bore => bore::start(&site)?,
            Self::Ssh => ssh::start(&site)?,
        };
        let mut running = Running::new(site, endpoints);
        running.until_it_serves().await?;
        Ok(running)
    }

    /// More agents for a system that runs, each with an endpoint of its own.
    pub fn fleet(self, running: &Running, count: usize) -> Result<Fleet> {
        match self {
            Self::Adit | Self::AditUnmetered => adit::fleet(running, count),
            Self::RatholeTls => rathole::fleet(running, count),
            Self::Bore => Ok(bore::fleet(running, count)),
            Self::Origin | Self::NginxTls => bail!("it has no agents"),
            Self::NginxRathole => bail!("its agents are those of rathole-tls"),
            Self::Ssh => bail!("not measured: each agent is two processes of sshd, about 1.6 MiB"),
        }
    }

    /// A neighbour for whoever is visited, with a plan that allows little.
    pub fn flooded(self, running: &Running) -> Result<Flooded> {
        match self {
            Self::Adit => adit::flooded(running),
            _ => bail!("it knows no tenants"),
        }
    }

    /// The versions of its programs.
    pub fn versions(self, place: &Place) -> String {
        let of = |program: &Path, flag: &str| program::version(program, flag);
        let peer = |name: &str| place.peers.join(name);
        match self {
            Self::Origin => "part of the driver".to_owned(),
            Self::Adit | Self::AditUnmetered => of(&place.programs.join("adit"), "version"),
            Self::NginxTls => of(Path::new("nginx"), "-v"),
            Self::NginxRathole => {
                format!("{}; {}", of(Path::new("nginx"), "-v"), rathole::version(&peer("rathole")))
            }
            Self::RatholeTls => rathole::version(&peer("rathole")),
            Self::Bore => of(&peer("bore"), "--version"),
            Self::Ssh => of(Path::new("ssh"), "-V"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::System;

    #[test]
    fn names_are_read_back_and_others_are_refused_with_a_list() {
        for system in System::ALL {
            assert_eq!(System::parse(system.name()).unwrap(), system);
        }
        assert!(System::parse("caddy").unwrap_err().to_string().contains("nginx+rathole-tls"));
    }
}
