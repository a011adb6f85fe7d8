//! Keys stay where they belong, even when everything is logged.

use std::path::{Path, PathBuf};

use adit_e2e::{Agent, EVENT_WITHIN, Home, Key, Options, Origin, Signal, Stack, Visitor};
use anyhow::{Result, ensure};

#[tokio::test]
async fn keys_are_in_no_log_no_file_and_no_argument() -> Result<()> {
    let mut stack = Stack::start_with(Options { log: Some("trace"), ..Options::default() }).await?;
    let key = stack.tenant("acme").await?;
    let origin = Origin::start().await?;
    let home = Home::new(&stack, &key)?;
    let arguments =
        ["http", &origin.port(), "--url", "demo", "--json", "--log", "stderr", "--log-level", "trace"];
    let mut agent = home.adit(&arguments)?;
    let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), 200);
    for program in [agent.program(), stack.program()] {
        assert_without(&key, &program.command_line()?, "a command line");
        let log = program.log();
        assert!(log.lines().count() > 3, "nothing is logged: {log}");
    }
    refused(&stack, &key).await?;
    agent.program().signal(Signal::INT)?;
    agent.exit(EVENT_WITHIN).await?;
    assert_without(&key, &agent.program().log(), "the agent's log");
    assert_without(&key, &format!("{:?}", agent.seen()), "an event");
    assert_without(&key, &stack.program().log(), "the server's log");
    for file in files_below(stack.data())?.into_iter().chain(files_below(home.path())?) {
        let text = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
        assert_without(&key, &text, &file.display().to_string());
    }
    Ok(())
}

#[tokio::test]
async fn private_keys_are_for_their_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = Stack::start().await?;
    let key = stack.tenant("acme").await?;
    let origin = Origin::start().await?;
    let home = Home::new(&stack, &key)?;
    home.http(&origin.port(), Some("demo"))?.url().await?;
    let public = [stack.ca_file().to_path_buf(), stack.data().join("ready.json")];
    for file in files_below(stack.data())?.into_iter().chain(files_below(home.path())?) {
        let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
        assert!(public.contains(&file) || mode == 0o600, "{} has mode {mode:o}", file.display());
    }
    Ok(())
}

/// Ways of being refused that end up in logs.
async fn refused(stack: &Stack, key: &Key) -> Result<()> {
    let mut home = Home::new(stack, key)?;
    let mut agent: Agent = home.http("3000", Some("demo.example.com"))?;
    ensure!(agent.exit(EVENT_WITHIN).await? == 5);
    // A slip of the finger in a real key.
    home.authtoken = Some(format!("{}x", key.secret));
    let mut agent = home.http("3000", None)?;
    ensure!(agent.exit(EVENT_WITHIN).await? == 4);
    assert_without(key, &agent.program().log(), "the agent's log");
    assert_without(key, &format!("{:?}", agent.seen()), "an event");
    Ok(())
}

/// Not even the part of the key that makes it secret.
fn assert_without(key: &Key, text: &str, place: &str) {
    let secret = key.secret.trim_start_matches("adit_");
    let half = secret.get(..secret.len() / 2).unwrap_or(secret);
    assert!(!text.contains(half), "the key is in {place}");
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
