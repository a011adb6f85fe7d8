//! A whole run: every load on every system, in turn, as often as asked.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::arguments::Run;
use crate::console;
use crate::figure::{Metric, Outcome, Row};
use crate::limits::DESCRIPTORS;
use crate::load::{Done, Load, Plan, Scene, Work};
use crate::measure::{Machine, Spent};
use crate::number::{float, gib};
use crate::pattern::Pattern;
use crate::report::{self, Header};
use crate::system::{Certificates, Distance, Place, Running, System};
use crate::visitor::Target;

/// Runs it: a line of JSON for every result as it comes, then the tables.
pub async fn run(run: &Run) -> Result<()> {
    let (loads, systems) = (run.loads()?, run.systems()?);
    allow_descriptors();
    let folder = TempDir::with_prefix("adit-bench-").context("no temporary folder")?;
    let origin = OriginProcess::start()?;
    let place = Place {
        programs: std::path::absolute(&run.programs)?,
        peers: std::path::absolute(&run.peers)?,
        origin: origin.address,
        certificates: Arc::new(Certificates::make(folder.path())?),
    };
    let plan = if run.brief { Plan::brief() } else { Plan::full() };
    let mut bench = Bench { place, plan, rows: Vec::new() };
    for repetition in 1..=run.repetitions {
        for system in turned(&systems, repetition) {
            console::note(&format!("==> {} ({repetition} of {})", system.name(), run.repetitions));
            bench.system(system, &loads, repetition).await;
        }
    }
    let header = Header {
        command: run.command(),
        machine: Machine::read().to_string(),
        versions: systems.iter().map(|system| (*system, system.versions(&bench.place))).collect(),
        repetitions: run.repetitions,
        brief: run.brief,
    };
    let text = report::markdown(&header, &loads, &bench.rows);
    console::line(&text);
    if let Some(page) = &run.write {
        report::write(page, &text)?;
    }
    Ok(())
}

/// The systems in the order of a repetition: as they were named, the other way round, and then from both ends in turns. A
/// system finds the machine as the one before it left it, so none always comes after the same one.
fn turned(systems: &[System], repetition: u32) -> Vec<System> {
    let forwards = systems.iter().copied();
    match repetition % 3 {
        1 => forwards.collect(),
        2 => forwards.rev().collect(),
        _ => forwards.clone().zip(forwards.rev()).flat_map(|(a, b)| [a, b]).take(systems.len()).collect(),
    }
}

/// What is measured so far.
struct Bench {
    place: Place,
    plan: Plan,
    rows: Vec<Row>,
}

impl Bench {
    /// All loads on one system: those that do not mind on one instance, each of the others on its own.
    async fn system(&mut self, system: System, loads: &[Load], repetition: u32) {
        let mine: Vec<Load> = loads.iter().copied().filter(|load| load.is_for(system)).collect();
        let (alone, together): (Vec<Load>, Vec<Load>) = mine
            .into_iter()
            .partition(|load| load.wants_a_fresh_system() || load.distance() != Distance::Near);
        if !together.is_empty() {
            self.instance(system, &together, repetition).await;
        }
        for load in alone {
            self.instance(system, &[load], repetition).await;
        }
    }

    /// Some loads on one instance of a system. One that does not start fails all of them.
    async fn instance(&mut self, system: System, loads: &[Load], repetition: u32) {
        let distance = loads.first().map_or(Distance::Near, |load| load.distance());
        let mut running = system.start(&self.place, distance).await;
        for load in loads {
            let outcome = match &mut running {
                Ok(running) => self.load(*load, system, running).await,
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
            let row = Row { system: system.name(), load: load.name(), repetition, outcome };
            console::line(&row.json());
            self.rows.push(row);
        }
    }

    async fn load(&self, load: Load, system: System, running: &mut Running) -> Result<Outcome> {
        let scene = Scene {
            plan: self.plan,
            target: running.target()?.clone(),
            origin: Target::plain(self.place.origin),
            pattern: Pattern::new(),
        };
        let window = running.window()?;
        let done = load.run(&scene, system, running).await?;
        let spent = window.close()?;
        running.check()?;
        Ok(outcome(done, spent, running))
    }
}

fn outcome(done: Done, spent: Spent, running: &Running) -> Outcome {
    let Done { mut figures, work, trouble } = done;
    let per = match work {
        Work::None => None,
        Work::Bytes(bytes) => Some((
            gib(bytes),
            [Metric::CpuSecondsPerGib, Metric::ServerSecondsPerGib, Metric::AgentSecondsPerGib],
        )),
        Work::Each(count) => Some((
            float(count) / 1e6,
            [Metric::CpuMicrosEach, Metric::ServerMicrosEach, Metric::AgentMicrosEach],
        )),
    };
    if let Some((amount, [both, server, agent])) = per.filter(|(amount, _)| *amount > 0.0) {
        if running.has_server() {
            figures.push((both, (spent.server_seconds + spent.agent_seconds) / amount));
            figures.push((server, spent.server_seconds / amount));
        }
        if running.has_agent() {
            figures.push((agent, spent.agent_seconds / amount));
        }
    }
    Outcome::Measured { figures, foreign_percent: spent.foreign_percent, trouble }
}

/// The origin in a process of its own, so that it shares no thread with the driver.
struct OriginProcess {
    child: Child,
    address: SocketAddr,
}

impl OriginProcess {
    fn start() -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(program);
        command.arg("origin").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the origin does not start")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the origin has no output")?;
        BufReader::new(output).read_line(&mut line).context("the origin says nothing")?;
        let address = line.trim().parse().context("the origin does not say where it is")?;
        Ok(Self { child, address })
    }
}

impl Drop for OriginProcess {
    fn drop(&mut self) {
        // Without its input it would end by itself; this is sooner.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A thousand visitors need more open files than most shells allow. What the system refuses shows as errors of a load.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted) {
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::turned;
    use crate::system::System;

    #[test]
    fn each_repetition_has_every_system_after_another_one() {
        let systems = System::ALL;
        let orders = [1, 2, 3].map(|repetition| turned(&systems, repetition));
        for order in &orders {
            assert!(order.len() == systems.len() && systems.iter().all(|system| order.contains(system)));
        }
        for system in &systems {
            let before =
                |order: &Vec<System>| order.windows(2).find(|pair| pair[1] == *system).map(|pair| pair[0]);
            let [first, second, third] = orders.each_ref().map(before);
            assert!(first != second && second != third, "{system:?}");
        }
    }
}
