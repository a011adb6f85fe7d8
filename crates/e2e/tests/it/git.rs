//! `git` over a tunnel, both ways.

use std::path::Path;
use std::time::Duration;

use adit_e2e::{Pattern, Scene, within};
use anyhow::{Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

const COMMAND: Duration = Duration::from_mins(1);

/// More than git sends in one piece, so that it sends chunks.
const FILE_BYTES: usize = 3_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clone_and_push() -> Result<()> {
    let scene = Scene::start().await?;
    let work = TempDir::new()?;
    let repository = scene.origin.repositories().join("project.git");
    git(
        &scene,
        work.path(),
        &["init", "--quiet", "--bare", "--initial-branch=main", &repository.display().to_string()],
    )
    .await?;
    let urls = [
        format!("http://{}/git/project.git", scene.visitor.http_authority()),
        format!("https://{}/git/project.git", scene.visitor.https_authority()),
    ];
    for (seed, url) in (1..).zip(&urls) {
        let clone = work.path().join(format!("clone-{seed}"));
        git(&scene, work.path(), &["clone", "--quiet", url, &clone.display().to_string()]).await?;
        std::fs::write(clone.join(format!("file-{seed}")), Pattern::new(seed).take(FILE_BYTES))?;
        git(&scene, &clone, &["add", "."]).await?;
        git(&scene, &clone, &["commit", "--quiet", "--message", "a large file"]).await?;
        git(&scene, &clone, &["push", "--quiet", "origin", "HEAD:main"]).await?;
    }
    let last = work.path().join("last");
    git(&scene, work.path(), &["clone", "--quiet", &urls[1], &last.display().to_string()]).await?;
    for seed in [1, 2] {
        let file = std::fs::read(last.join(format!("file-{seed}")))?;
        assert!(file == Pattern::new(seed).take(FILE_BYTES), "file {seed} differs");
    }
    git(&scene, &repository, &["fsck", "--full", "--strict"]).await
}

/// git with nothing of the developer's configuration, which finds the endpoint here and trusts its certificate.
async fn git(scene: &Scene, folder: &Path, arguments: &[&str]) -> Result<()> {
    let settings = [
        ("http.sslCAInfo", scene.stack.ca_file().display().to_string()),
        ("http.curloptResolve", format!("{}:127.0.0.1", scene.visitor.http_authority())),
        ("http.curloptResolve", format!("{}:127.0.0.1", scene.visitor.https_authority())),
        ("user.name", "Visitor".to_owned()),
        ("user.email", "visitor@example.com".to_owned()),
    ];
    let mut command = Command::new("git");
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", folder);
    command.env("GIT_CONFIG_SYSTEM", "/dev/null").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    let output = within(&format!("git {arguments:?}"), COMMAND, command.output()).await??;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
