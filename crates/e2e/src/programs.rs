//! Where the programs are that tests start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

/// The server.
pub fn aditd() -> Result<PathBuf> {
    find("aditd")
}

/// The agent.
pub fn adit() -> Result<PathBuf> {
    find("adit")
}

fn find(name: &str) -> Result<PathBuf> {
    let folder = folder()?;
    build_once(&folder)?;
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    ensure!(path.exists(), "{} does not exist", path.display());
    Ok(path)
}

/// The folder above the one that cargo puts tests into.
fn folder() -> Result<PathBuf> {
    let test = std::env::current_exe().context("where is this test?")?;
    let folder = test.parent().and_then(Path::parent);
    Ok(folder.with_context(|| format!("{} has no folder above", test.display()))?.to_path_buf())
}

/// `cargo xtask test` has built the programs and says so. Tests that are run alone build them first, so that they never
/// test what was there before.
#[expect(clippy::disallowed_methods, reason = "the environment is the configuration of a test run")]
fn build_once(folder: &Path) -> Result<()> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let built = std::env::var_os("ADIT_TEST_BUILT").is_some();
        if built { Ok(()) } else { build(folder).map_err(|error| format!("{error:#}")) }
    });
    built.clone().map_err(anyhow::Error::msg)
}

fn build(folder: &Path) -> Result<()> {
    let target = folder.parent().context("the target folder has no folder above")?;
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "-p", "aditd", "-p", "adit-agent", "--bins", "--target-dir"]).arg(target);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = cargo.status().context("cannot start cargo")?;
    ensure!(status.success(), "cargo build failed: {status}");
    Ok(())
}
