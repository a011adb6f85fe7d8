//! Adit beside its peers under the same loads: gets the peers, builds for release, and hands over to the driver.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::console;
use crate::debian;
use crate::interrupt::Interrupt;
use crate::job;
use crate::repo::Repo;

/// Where the tables go.
const PAGE: &str = "docs/benchmarks.md";

/// A peer that is built from its registry's source.
struct Peer {
    /// The package.
    package: &'static str,
    program: &'static str,
    version: &'static str,
    /// Whether its own lock file is used. rathole's holds a version of `time` that current compilers refuse.
    flags: &'static [&'static str],
    /// A part of the names of the systems that need it.
    systems: &'static str,
}

const PEERS: [Peer; 2] = [
    Peer { package: "rathole", program: "rathole", version: "0.5.0", flags: &[], systems: "rathole" },
    Peer { package: "bore-cli", program: "bore", version: "0.6.0", flags: &["--locked"], systems: "bore" },
];

/// Runs the driver with these words, which it explains with `--help`.
pub fn run(repo: &Repo, interrupt: &Interrupt, words: &[String]) -> Result<()> {
    if words.iter().any(|word| word == "--help") {
        // Nobody waits for a release build to read a page.
        let mut help = repo.cargo();
        help.args(["run", "--quiet", "-p", "adit-bench", "--", "--help"]);
        return job::run("adit-bench", &mut help, interrupt);
    }
    let systems = systems(words)?;
    let wanted = |name: &str| systems.as_ref().is_none_or(|systems| systems.contains(name));
    for (name, needs) in [
        ("nginx", &debian::FOR_NGINX[..]),
        ("rathole", &debian::FOR_RATHOLE[..]),
        ("ssh", &debian::FOR_SSH[..]),
    ] {
        if wanted(name) {
            debian::ensure(needs, interrupt)?;
        }
    }
    let folder = repo.target().join("bench");
    for peer in PEERS.iter().filter(|peer| wanted(peer.systems)) {
        if let Err(error) = install(repo, interrupt, peer, &folder) {
            console::problem(&format!("{}: {error:#}; its rows will say so", peer.package));
        }
        if interrupt.requested() {
            bail!("interrupted");
        }
    }
    let mut build = repo.cargo();
    build.args(["build", "--release", "-p", "aditd", "-p", "adit-agent", "-p", "adit-bench", "--bins"]);
    job::run("release build", &mut build, interrupt)?;
    let programs = repo.target().join("release");
    let mut driver = std::process::Command::new(programs.join("adit-bench"));
    driver.arg("--programs").arg(&programs).arg("--peers").arg(peers(&folder).join("bin"));
    driver.args(with_page(words, &repo.join(PAGE))?);
    job::run("adit-bench", &mut driver, interrupt)
}

fn peers(folder: &Path) -> PathBuf {
    folder.join("peers")
}

/// Builds a peer once; its folder is below the target folder and goes with it.
fn install(repo: &Repo, interrupt: &Interrupt, peer: &Peer, folder: &Path) -> Result<()> {
    if peers(folder).join("bin").join(peer.program).exists() {
        return Ok(());
    }
    console::step(&format!("building {} {}", peer.package, peer.version));
    let mut cargo = repo.cargo();
    cargo
        .env("CARGO_TARGET_DIR", folder.join("build"))
        .args(["install", "--quiet", "--root"])
        .arg(peers(folder));
    cargo.args(peer.flags).args(["--version", peer.version, peer.package]);
    job::run("cargo install", &mut cargo, interrupt)
}

/// What follows `--systems`, if it is there.
fn systems(words: &[String]) -> Result<Option<String>> {
    let Some(at) = words.iter().position(|word| word == "--systems") else {
        return Ok(words.iter().find_map(|word| word.strip_prefix("--systems=")).map(str::to_owned));
    };
    Ok(Some(words.get(at + 1).context("--systems takes names, separated by commas")?.clone()))
}

/// The driver takes any page; here there is one.
fn with_page(words: &[String], page: &Path) -> Result<Vec<String>> {
    let page = page.to_str().context("the path of the page is not text")?;
    let named = |word: &String| {
        let more = (word == "--write").then(|| page.to_owned());
        std::iter::once(word.clone()).chain(more).collect::<Vec<_>>()
    };
    Ok(words.iter().flat_map(named).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::path::Path;

    use super::{systems, with_page};

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn systems_are_seen_so_that_only_their_peers_are_fetched() {
        assert_eq!(systems(&words("--only upload")).unwrap(), None);
        assert_eq!(systems(&words("--systems adit,ssh --rtt")).unwrap().as_deref(), Some("adit,ssh"));
        assert_eq!(systems(&words("--systems=bore")).unwrap().as_deref(), Some("bore"));
        assert!(systems(&words("--rtt --systems")).is_err());
    }

    #[test]
    fn the_page_is_filled_in() {
        let given = words("--write --repetitions 1");
        assert_eq!(with_page(&given, Path::new("/p.md")).unwrap(), words("--write /p.md --repetitions 1"));
    }
}
