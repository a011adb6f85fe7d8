//! What a newcomer does: save the key, expose a port, open the URL.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use adit_e2e::{EVENT_WITHIN, Home, Origin, Program, Stack, Visitor, within};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn save_the_key_and_expose_a_port() -> Result<()> {
    let stack = Stack::start().await?;
    let key = stack.tenant("acme").await?;
    let origin = Origin::start().await?;
    let home = Home::new(&stack, &key)?;

    let mut saving = fresh(&home, &["config", "add-authtoken"])?;
    let mut saving = saving.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let mut input = saving.stdin.take().context("no input")?;
    input.write_all(format!("{}\n", key.secret).as_bytes()).await?;
    drop(input);
    assert!(within("the key is saved", EVENT_WITHIN, saving.wait()).await??.success());

    let path = fresh(&home, &["config", "path"])?.output().await?;
    let path = String::from_utf8(path.stdout)?;
    let file = std::fs::metadata(path.trim())?;
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(path.trim())?.contains(&key.secret));

    let port = origin.port();
    let (_agent, output) = Program::start_for_reading("adit", fresh(&home, &["http", &port])?)?;
    let mut lines = BufReader::new(output).lines();
    let shown = async {
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("Forwarding") {
                return Ok(line);
            }
        }
        anyhow::bail!("the agent ended")
    };
    let line = within("the URL is shown", EVENT_WITHIN, shown).await??;
    let (url, upstream) =
        line.trim_start_matches("Forwarding").trim().split_once(" -> ").context("no arrow")?;
    assert_eq!(upstream.trim(), format!("http://localhost:{port}"));

    let hostname = url.trim().strip_prefix("https://").and_then(|rest| rest.split(':').next());
    let visitor = Visitor::new(&stack, hostname.context("no https URL")?)?;
    assert_eq!(format!("https://{}", visitor.https_authority()), url.trim());
    for mut connection in visitor.each().await? {
        assert_eq!(connection.get("/").await?.status(), 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_key_on_the_command_line_is_refused_and_not_repeated() -> Result<()> {
    let stack = Stack::start().await?;
    let key = stack.tenant("acme").await?;
    let home = Home::new(&stack, &key)?;
    for arguments in
        [vec!["config", "add-authtoken", &key.secret], vec!["http", "3000", "--authtoken", &key.secret]]
    {
        let output = fresh(&home, &arguments)?.stdin(Stdio::null()).output().await?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains(&key.secret), "{arguments:?}");
    }
    Ok(())
}

/// A user who has set nothing but the server.
fn fresh(home: &Home, arguments: &[&str]) -> Result<Command> {
    let mut command = home.command(arguments)?;
    command.env_remove("ADIT_AUTHTOKEN").env_remove("ADIT_CONFIG");
    Ok(command)
}
