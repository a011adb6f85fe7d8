//! Where a system runs: a folder of its own, the origin behind it, and how far its agent is away.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::certificates::Certificates;
use crate::delay::Delay;

/// What all systems of a run share.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder with `aditd` and `adit`.
    pub programs: PathBuf,
    /// The folder with `rathole` and `bore`.
    pub peers: PathBuf,
    /// Where the origin is.
    pub origin: SocketAddr,
    /// The certificates of all servers.
    pub certificates: Arc<Certificates>,
}

/// How far the two ends of a tunnel are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Both on loopback.
    Near,
    /// A far link with this round trip between them.
    Far(Duration),
}

/// The place of one system, removed with it.
#[derive(Debug)]
pub struct Site {
    /// What is shared.
    pub place: Place,
    link: Option<Delay>,
    folder: TempDir,
}

impl Site {
    /// An empty folder, and the link if there is one.
    pub fn new(place: &Place, distance: Distance) -> Result<Self> {
        let folder = TempDir::with_prefix("adit-bench-").context("no temporary folder")?;
        let link = match distance {
            Distance::Near => None,
            Distance::Far(round_trip) => Some(Delay::start(round_trip)?),
        };
        Ok(Self { place: place.clone(), link, folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the origin is.
    pub const fn origin(&self) -> SocketAddr {
        self.place.origin
    }

    /// Writes a file of the folder, for the owner only.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.folder().join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The near end of the far link, if there is one.
    pub fn link(&self) -> Option<SocketAddr> {
        self.link.as_ref().map(Delay::address)
    }

    /// Where the far end has to dial to reach `address`: through the link, if there is one.
    pub fn seen_from_afar(&self, address: SocketAddr) -> SocketAddr {
        let Some(link) = &self.link else { return address };
        link.leads_to(address);
        link.address()
    }
}

/// An address on loopback that was free a moment ago, for programs that cannot choose one themselves.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
