//! Coverage-guided fuzzing of every decoder, with the pinned toolchain: the targets of `fuzz/`, one after another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::console;
use crate::interrupt::Interrupt;
use crate::job;
use crate::repo::Repo;

/// Seconds per target where nobody says otherwise.
pub const SECONDS: u32 = 20;

/// The target that fails on purpose.
const PLANTED: &str = "planted";

/// Seconds within which the planted failure must be found. It takes one or two.
const PLANTED_SECONDS: u32 = 60;

/// What libFuzzer feeds on. `cargo fuzz` passes the same; none of it needs a nightly compiler, only the sanitizers do.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Bytes of one input, seconds that one may take, and MiB that the process may hold.
const BOUNDS: [&str; 3] = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=1024"];

/// Builds the targets, proves that a failure is noticed, and runs each target for `seconds`.
pub fn run(repo: &Repo, interrupt: &Interrupt, seconds: u32) -> Result<()> {
    let fuzzing = Fuzzing::build(repo, interrupt)?;
    fuzzing.prove(interrupt)?;
    let mut failed = Vec::new();
    for target in fuzzing.targets()? {
        console::step(&format!("fuzz {target}, {seconds} s"));
        let mut command = fuzzing.command(&target, seconds)?;
        if let Err(error) = job::run("the fuzzer", &mut command, interrupt) {
            ensure!(!interrupt.requested(), "interrupted");
            console::problem(&format!("{target}: {error:#}"));
            failed.push(target);
        }
    }
    ensure!(
        failed.is_empty(),
        "inputs that break {} are in {}",
        failed.join(", "),
        fuzzing.found().display()
    );
    Ok(())
}

/// The built targets and their folders.
struct Fuzzing<'a> {
    repo: &'a Repo,
    host: String,
}

impl<'a> Fuzzing<'a> {
    fn build(repo: &'a Repo, interrupt: &Interrupt) -> Result<Self> {
        let fuzzing = Self { repo, host: host()? };
        let mut build = repo.cargo();
        build.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
        // Named, though it is this machine's: so that build scripts and macros are built without counters.
        build.args(["--target", &fuzzing.host, "--target-dir"]).arg(fuzzing.folder());
        job::run("cargo build of the fuzz targets", build.env("RUSTFLAGS", COVERAGE), interrupt)?;
        Ok(fuzzing)
    }

    /// The planted failure must end the fuzzer with an error and leave the input that made it.
    fn prove(&self, interrupt: &Interrupt) -> Result<()> {
        console::step("fuzz: a planted failure is noticed");
        let input = self.found().join(PLANTED);
        let mut command = self.command(PLANTED, PLANTED_SECONDS)?;
        command.arg(format!("-exact_artifact_path={}", input.display()));
        let ended = job::run("the fuzzer", &mut command, interrupt);
        ensure!(!interrupt.requested(), "interrupted");
        ensure!(ended.is_err(), "the fuzzer did not notice the planted failure");
        let bytes = fs::read(&input).context("the fuzzer kept no input of the planted failure")?;
        ensure!(bytes.starts_with(b"adit"), "the fuzzer failed at something else than the planted failure");
        fs::remove_file(&input)?;
        console::line("the planted failure was found");
        Ok(())
    }

    /// Every target but the planted one, by the files that define them.
    fn targets(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.repo.join("fuzz/targets")).context("no fuzz targets")? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).context("a target without a name")?;
            names.push(name.to_owned());
        }
        names.retain(|name| name != PLANTED);
        names.sort_unstable();
        Ok(names)
    }

    /// libFuzzer adds what it learns to the first folder and reads the others.
    fn command(&self, target: &str, seconds: u32) -> Result<Command> {
        let corpus = self.folder().join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(self.found())?;
        let mut command = Command::new(self.folder().join(&self.host).join("release").join(target));
        command.args(BOUNDS).args([
            &format!("-max_total_time={seconds}"),
            "-print_final_stats=1",
            "-verbosity=0",
        ]);
        command.arg(format!("-artifact_prefix={}/{target}-", self.found().display()));
        command.arg(corpus).arg(self.vectors()?);
        let seeds = self.repo.join("fuzz/seeds").join(target);
        if seeds.exists() {
            command.arg(seeds);
        }
        Ok(command)
    }

    /// The golden vectors as bytes. What a target has no use for, libFuzzer drops.
    fn vectors(&self) -> Result<PathBuf> {
        let folder = self.folder().join("vectors");
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(self.repo.join("docs/vectors")).context("no golden vectors")? {
            let path = entry?.path();
            let name = path.file_stem().context("a vector without a name")?;
            let bytes = bytes(&fs::read_to_string(&path)?);
            let bytes = bytes.with_context(|| format!("{} is not hexadecimal", path.display()))?;
            fs::write(folder.join(name), bytes)?;
        }
        Ok(folder)
    }

    fn folder(&self) -> PathBuf {
        self.repo.target().join("fuzz")
    }

    fn found(&self) -> PathBuf {
        self.folder().join("found")
    }
}

/// The machine that rustc builds for.
fn host() -> Result<String> {
    let rustc = crate::repo::environment("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = job::output("rustc", Command::new(Path::new(&rustc)).arg("-vV"))?;
    match version.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("rustc does not say what it builds for"),
    }
}

/// The bytes of a vector: hexadecimal digits with white space; `#` starts a remark that ends with its line.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: Vec<u32> = lines
        .flat_map(str::chars)
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn a_vector_is_digits_with_remarks() {
        assert_eq!(bytes("00 ff # the first two\n0A\n"), Some(vec![0, 255, 10]));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("zz"), None);
    }
}
