//! What was measured.

use serde_json::{Map, Value, json};

use crate::limits::FOREIGN_PERCENT_MAX;

/// What a number says, in the order in which tables show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Bytes of bodies per second.
    MibPerSecond,
    /// Small requests per second.
    RequestsPerSecond,
    /// New connections per second, each with a full handshake and one request.
    ConnectionsPerSecond,
    /// Most memory that the server had beyond what it had before.
    ServerGrowthMib,
    /// Most memory that the agent had beyond what it had before.
    AgentGrowthMib,
    /// Memory of the server per idle agent's connection.
    ServerKibPerConnection,
    /// Memory of the server per idle visitor or idle agent.
    ServerKibEach,
    /// Memory of the agent per idle visitor.
    AgentKibEach,
    /// Connections of one idle agent.
    ConnectionsEach,
    /// Half of all requests took at most this time.
    P50Micros,
    /// 99 in 100 did.
    P99Micros,
    /// 999 in 1000 did.
    P999Micros,
    /// The same as [`Metric::P99Micros`] with those that were due while another was stuck.
    P99DueMicros,
    /// [`Metric::P99Micros`] beside a flood at a neighbour, by that of the same visitor alone.
    P99Ratio,
    /// The same, by that beside the same flood at a server that refuses all of it and does nothing else.
    P99RatioElsewhere,
    /// Requests or connections of a flood that were not served.
    RefusedPerSecond,
    /// Bulk that went on beside, or after.
    BesideMibPerSecond,
    /// What the origin could send to readers that do not read: buffers along the way, the kernel's included.
    AbsorbedMib,
    /// Round trip of a small request over the far link.
    RoundTripMillis,
    /// CPU time of server and agent together per GiB.
    CpuSecondsPerGib,
    /// CPU time of the server's programs per GiB.
    ServerSecondsPerGib,
    /// CPU time of the agent's programs per GiB.
    AgentSecondsPerGib,
    /// CPU time of server and agent together per request or connection.
    CpuMicrosEach,
    /// CPU time of the server's programs per request or connection.
    ServerMicrosEach,
    /// CPU time of the agent's programs per request or connection.
    AgentMicrosEach,
    /// Requests that failed, and connections that should have lived and did not.
    Errors,
}

impl Metric {
    /// Its name in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::MibPerSecond => "mib_per_s",
            Self::RequestsPerSecond => "requests_per_s",
            Self::ConnectionsPerSecond => "connections_per_s",
            Self::P50Micros => "p50_us",
            Self::P99Micros => "p99_us",
            Self::P999Micros => "p999_us",
            Self::P99DueMicros => "p99_due_us",
            Self::P99Ratio => "p99_ratio",
            Self::P99RatioElsewhere => "p99_ratio_elsewhere",
            Self::RefusedPerSecond => "refused_per_s",
            Self::Errors => "errors",
            Self::CpuSecondsPerGib => "cpu_s_per_gib",
            Self::CpuMicrosEach => "cpu_us_each",
            Self::ServerSecondsPerGib => "server_cpu_s_per_gib",
            Self::AgentSecondsPerGib => "agent_cpu_s_per_gib",
            Self::ServerMicrosEach => "server_cpu_us_each",
            Self::AgentMicrosEach => "agent_cpu_us_each",
            Self::BesideMibPerSecond => "beside_mib_per_s",
            Self::ServerGrowthMib => "server_growth_mib",
            Self::AgentGrowthMib => "agent_growth_mib",
            Self::AbsorbedMib => "absorbed_mib",
            Self::ServerKibEach => "server_kib_each",
            Self::AgentKibEach => "agent_kib_each",
            Self::ServerKibPerConnection => "server_kib_per_connection",
            Self::ConnectionsEach => "connections_each",
            Self::RoundTripMillis => "round_trip_ms",
        }
    }

    /// Its name at the head of a column.
    pub const fn title(self) -> &'static str {
        match self {
            Self::MibPerSecond => "MiB/s",
            Self::RequestsPerSecond => "requests/s",
            Self::ConnectionsPerSecond => "connections/s",
            Self::P50Micros => "p50 µs",
            Self::P99Micros => "p99 µs",
            Self::P999Micros => "p99.9 µs",
            Self::P99DueMicros => "p99 µs with those due",
            Self::P99Ratio => "p99 by p99 alone",
            Self::P99RatioElsewhere => "p99 by p99 beside a flood elsewhere",
            Self::RefusedPerSecond => "refused/s",
            Self::Errors => "errors",
            Self::CpuSecondsPerGib => "CPU s/GiB",
            Self::CpuMicrosEach => "CPU µs each",
            Self::ServerSecondsPerGib => "server CPU s/GiB",
            Self::AgentSecondsPerGib => "agent CPU s/GiB",
            Self::ServerMicrosEach => "server CPU µs each",
            Self::AgentMicrosEach => "agent CPU µs each",
            Self::BesideMibPerSecond => "bulk MiB/s",
            Self::ServerGrowthMib => "server growth MiB",
            Self::AgentGrowthMib => "agent growth MiB",
            Self::AbsorbedMib => "absorbed MiB",
            Self::ServerKibEach => "server KiB each",
            Self::AgentKibEach => "agent KiB each",
            Self::ServerKibPerConnection => "server KiB per connection",
            Self::ConnectionsEach => "connections each",
            Self::RoundTripMillis => "round trip ms",
        }
    }

    /// Whether other programs on the machine change it. Memory and counts they do not.
    pub const fn is_moved_by_noise(self) -> bool {
        !matches!(
            self,
            Self::Errors
                | Self::ServerGrowthMib
                | Self::AgentGrowthMib
                | Self::AbsorbedMib
                | Self::ServerKibEach
                | Self::AgentKibEach
                | Self::ServerKibPerConnection
                | Self::ConnectionsEach
        )
    }
}

/// Numbers with what they say.
pub type Figures = Vec<(Metric, f64)>;

/// One load on one system, once.
#[derive(Clone, Debug)]
pub struct Row {
    /// The system's name.
    pub system: &'static str,
    /// The load's name.
    pub load: String,
    /// Which repetition, from 1 on.
    pub repetition: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ran.
    Measured {
        /// What it showed.
        figures: Figures,
        /// CPU that other programs took meanwhile, in percent of the machine.
        foreign_percent: f64,
        /// The first thing that went wrong, where something did and the load went on.
        trouble: Option<String>,
    },
    /// It, or the system, did not run.
    Failed(String),
}

impl Row {
    /// Whether the machine was quiet enough for times to count.
    pub fn is_quiet(&self) -> bool {
        matches!(self.outcome, Outcome::Measured { foreign_percent, .. } if foreign_percent <= FOREIGN_PERCENT_MAX)
    }

    /// One figure, if it counts.
    pub fn figure(&self, metric: Metric) -> Option<f64> {
        let Outcome::Measured { figures, .. } = &self.outcome else { return None };
        if metric.is_moved_by_noise() && !self.is_quiet() {
            return None;
        }
        figures.iter().find(|(have, _)| *have == metric).map(|(_, value)| *value)
    }

    /// As one line of JSON.
    pub fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("system".into(), self.system.into());
        object.insert("load".into(), self.load.as_str().into());
        object.insert("repetition".into(), self.repetition.into());
        match &self.outcome {
            Outcome::Failed(why) => {
                object.insert("failed".into(), why.as_str().into());
            }
            Outcome::Measured { figures, foreign_percent, trouble } => {
                object.insert("foreign_percent".into(), rounded(*foreign_percent));
                object.insert("quiet".into(), self.is_quiet().into());
                let figures = figures.iter().map(|(metric, value)| (metric.key().into(), rounded(*value)));
                object.insert("figures".into(), Value::Object(figures.collect()));
                object.extend(trouble.iter().map(|text| ("trouble".to_owned(), json!(text))));
            }
        }
        Value::Object(object).to_string()
    }
}

fn rounded(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{Metric, Outcome, Row};

    fn row(foreign_percent: f64) -> Row {
        let figures = vec![(Metric::MibPerSecond, 1_047.123_456), (Metric::ServerGrowthMib, 3.0)];
        let outcome = Outcome::Measured { figures, foreign_percent, trouble: None };
        Row { system: "adit", load: "download-1".into(), repetition: 2, outcome }
    }

    #[test]
    fn noise_above_the_bound_drops_times_and_keeps_memory() {
        for (foreign_percent, counts) in [(0.0, true), (4.0, true), (4.01, false), (50.0, false)] {
            let row = row(foreign_percent);
            assert_eq!(row.is_quiet(), counts, "{foreign_percent}");
            assert_eq!(row.figure(Metric::MibPerSecond).is_some(), counts, "{foreign_percent}");
            assert_eq!(row.figure(Metric::ServerGrowthMib), Some(3.0));
            assert_eq!(row.figure(Metric::P50Micros), None);
        }
    }

    #[test]
    fn a_row_is_one_line_of_json_that_says_when_it_failed() {
        assert_eq!(
            row(5.0).json(),
            r#"{"figures":{"mib_per_s":1047.123,"server_growth_mib":3.0},"foreign_percent":5.0,"load":"download-1","quiet":false,"repetition":2,"system":"adit"}"#
        );
        let failed = Row { outcome: Outcome::Failed("status 502".into()), ..row(0.0) };
        assert_eq!(failed.figure(Metric::MibPerSecond), None);
        assert!(failed.json().contains(r#""failed":"status 502""#), "{}", failed.json());
    }
}
