//! The loads: what visitors do, and what is noted.

mod beside;
mod bulk;
mod crowd;
mod far;
mod idle;
mod neighbour;
mod plan;
mod probe;
mod requests;
mod scene;
mod stalled;

use std::time::Duration;

use anyhow::{Result, bail};

pub use neighbour::Flood;
pub use plan::Plan;
pub use scene::{Done, Scene, Work};

use crate::figure::Metric;
use crate::system::{Distance, Running, System};

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Large bodies from the origin, this many at once, together of one size.
    Download(u32),
    /// One large body to the origin.
    Upload,
    /// Small requests without a pause on this many kept connections.
    Requests(u32),
    /// New connections, each with a full handshake and one small request.
    Connections,
    /// Small requests every few milliseconds, beside this many downloads.
    Beside(u32),
    /// This many downloads that are not read, then small requests and a download that is.
    Stalled(u32),
    /// Small requests every few milliseconds, beside a flood at another tenant.
    Neighbour(Flood),
    /// Visitors' connections that do nothing.
    IdleVisitors,
    /// Agents that nobody visits.
    IdleAgents,
    /// One download over a link with this round trip between agent and server, in milliseconds.
    FarDownload(u64),
    /// The same, to the origin.
    FarUpload(u64),
}

impl Load {
    /// What runs without being asked for.
    pub const USUAL: [Self; 15] = [
        Self::Download(1),
        Self::Upload,
        Self::Download(16),
        Self::Requests(64),
        Self::Requests(1),
        Self::Connections,
        Self::Beside(0),
        Self::Beside(1),
        Self::Beside(8),
        Self::Neighbour(Flood::Requests),
        Self::Neighbour(Flood::Connections),
        Self::Stalled(32),
        Self::Stalled(1000),
        Self::IdleVisitors,
        Self::IdleAgents,
    ];

    /// What runs with `--rtt`.
    pub const FAR: [Self; 6] = [
        Self::FarDownload(5),
        Self::FarUpload(5),
        Self::FarDownload(50),
        Self::FarUpload(50),
        Self::FarDownload(100),
        Self::FarUpload(100),
    ];

    /// Its name in results and on the command line.
    pub fn name(self) -> String {
        match self {
            Self::Download(streams) => format!("download-{streams}"),
            Self::Upload => "upload-1".to_owned(),
            Self::Requests(connections) => format!("requests-{connections}"),
            Self::Connections => "connections".to_owned(),
            Self::Beside(downloads) => format!("beside-{downloads}"),
            Self::Neighbour(Flood::Requests) => "neighbour-requests".to_owned(),
            Self::Neighbour(Flood::Connections) => "neighbour-connections".to_owned(),
            Self::Stalled(readers) => format!("stalled-{readers}"),
            Self::IdleVisitors => "idle-visitors".to_owned(),
            Self::IdleAgents => "idle-agents".to_owned(),
            Self::FarDownload(millis) => format!("rtt-{millis}-download"),
            Self::FarUpload(millis) => format!("rtt-{millis}-upload"),
        }
    }

    /// The loads that a word of `--only` means: one by its name, or all whose names begin with it.
    pub fn parse(word: &str) -> Result<Vec<Self>> {
        let all: Vec<Self> = Self::USUAL.into_iter().chain(Self::FAR).collect();
        let (exact, begins): (Vec<Self>, Vec<Self>) = (
            all.iter().copied().filter(|load| load.name() == word).collect(),
            all.iter().copied().filter(|load| load.name().starts_with(word)).collect(),
        );
        let found = if exact.is_empty() { begins } else { exact };
        if found.is_empty() || word.is_empty() {
            let names: Vec<String> = all.iter().map(|load| load.name()).collect();
            bail!("no load `{word}`: there are {}", names.join(", "));
        }
        Ok(found)
    }

    /// What a reader of the results must know.
    pub fn title(self) -> String {
        match self {
            Self::Download(1) => "1 download of 1 GiB".to_owned(),
            Self::Download(streams) => format!("{streams} downloads at once, 1 GiB together"),
            Self::Upload => "1 upload of 1 GiB".to_owned(),
            Self::Requests(1) => "small requests on one connection, back to back".to_owned(),
            Self::Requests(connections) => {
                format!("small requests on {connections} kept connections, each back to back")
            }
            Self::Connections => {
                "new connections, 16 at a time, each a full handshake and one request".to_owned()
            }
            Self::Beside(0) => "a small request every 2 ms, nothing beside".to_owned(),
            Self::Beside(downloads) => format!("a small request every 2 ms beside {downloads} download(s)"),
            Self::Neighbour(flood) => {
                let what = match flood {
                    Flood::Requests => "requests",
                    Flood::Connections => "connections",
                };
                format!(
                    "a small request every 2 ms beside a neighbour's flood: 1,000 {what} a second, 100 allowed"
                )
            }
            Self::Stalled(readers) => format!("{readers} readers of 1 GiB that stop after the head"),
            Self::IdleVisitors => "1,000 idle visitors, each after one request".to_owned(),
            Self::IdleAgents => "200 idle agents".to_owned(),
            Self::FarDownload(millis) => format!("1 download over a far link, {millis} ms round trip"),
            Self::FarUpload(millis) => format!("1 upload over a far link, {millis} ms round trip"),
        }
    }

    /// The figures by which systems are compared, the most telling first.
    pub const fn compared(self) -> &'static [Metric] {
        match self {
            Self::Download(_) | Self::Upload => &[Metric::MibPerSecond, Metric::CpuSecondsPerGib],
            Self::FarDownload(_) | Self::FarUpload(_) => &[Metric::MibPerSecond],
            Self::Requests(1) => &[Metric::P50Micros],
            Self::Requests(_) => &[Metric::RequestsPerSecond, Metric::P99Micros, Metric::CpuMicrosEach],
            Self::Connections => &[Metric::ConnectionsPerSecond, Metric::CpuMicrosEach],
            Self::Beside(_) => &[Metric::P99Micros],
            Self::Neighbour(_) => &[Metric::P99RatioElsewhere, Metric::P99Ratio],
            Self::Stalled(_) => &[Metric::ServerGrowthMib, Metric::AgentGrowthMib],
            Self::IdleVisitors => &[Metric::ServerKibEach, Metric::AgentKibEach],
            Self::IdleAgents => &[Metric::ServerKibPerConnection],
        }
    }

    /// Whether the system must not have done anything before: allocators keep what they once had, so growth shows in a
    /// fresh process only. A neighbour comes once.
    pub const fn wants_a_fresh_system(self) -> bool {
        matches!(self, Self::Neighbour(_) | Self::Stalled(_) | Self::IdleVisitors | Self::IdleAgents)
    }

    /// How far agent and server must be apart.
    pub const fn distance(self) -> Distance {
        match self {
            Self::FarDownload(millis) | Self::FarUpload(millis) => {
                Distance::Far(Duration::from_millis(millis))
            }
            _ => Distance::Near,
        }
    }

    /// Whether a system can show anything under it.
    pub const fn is_for(self, system: System) -> bool {
        if matches!(system, System::AditUnmetered) {
            return matches!(self, Self::Download(1) | Self::Upload | Self::Requests(_));
        }
        match self {
            Self::IdleAgents => matches!(system, System::Adit | System::RatholeTls | System::Bore),
            Self::Neighbour(_) => matches!(system, System::Adit),
            Self::FarDownload(_) | Self::FarUpload(_) => {
                matches!(system, System::Origin | System::Adit | System::NginxRathole)
            }
            Self::Download(_)
            | Self::Upload
            | Self::Requests(_)
            | Self::Connections
            | Self::Beside(_)
            | Self::Stalled(_)
            | Self::IdleVisitors => true,
        }
    }

    /// Runs it.
    pub async fn run(self, scene: &Scene, system: System, running: &mut Running) -> Result<Done> {
        match self {
            Self::Download(streams) => bulk::downloads(scene, streams, scene.plan.bulk_bytes).await,
            Self::Upload => bulk::upload(scene, scene.plan.bulk_bytes).await,
            Self::Requests(connections) => requests::kept(scene, connections).await,
            Self::Connections => requests::new_connections(scene).await,
            Self::Beside(downloads) => beside::run(scene, downloads).await,
            Self::Neighbour(flood) => neighbour::run(scene, system, running, flood).await,
            Self::Stalled(readers) => stalled::run(scene, running, readers).await,
            Self::IdleVisitors => idle::visitors(scene, running).await,
            Self::IdleAgents => idle::agents(scene, system, running).await,
            Self::FarDownload(_) => far::download(scene).await,
            Self::FarUpload(_) => far::upload(scene).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::Load;

    #[test]
    fn a_word_means_one_load_or_all_that_begin_with_it() {
        assert_eq!(Load::parse("download-1").unwrap(), [Load::Download(1)]);
        assert_eq!(Load::parse("download").unwrap(), [Load::Download(1), Load::Download(16)]);
        assert_eq!(Load::parse("beside").unwrap().len(), 3);
        assert_eq!(Load::parse("rtt").unwrap(), Load::FAR);
        for load in Load::USUAL {
            assert_eq!(Load::parse(&load.name()).unwrap(), [load]);
        }
        assert!(Load::parse("").is_err());
        assert!(Load::parse("walk").unwrap_err().to_string().contains("stalled-1000"));
    }
}
