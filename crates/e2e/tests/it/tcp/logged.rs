//! A connection in the access logs of both sides.

use adit_e2e::{EVENT_WITHIN, Options, until};
use anyhow::{Context as _, Result};
use tokio::io::AsyncWriteExt as _;

use super::{Place, address, echo, to_end, visit};

/// The value of a field in the one record of a log in text.
fn field<'a>(log: &'a str, name: &str) -> Option<&'a str> {
    let mut records = log.lines().filter(|line| line.contains(" adit::access: "));
    let record = records.next().filter(|_| records.next().is_none())?;
    let mut fields = record.split(' ').filter_map(|word| word.split_once('='));
    fields.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[tokio::test]
async fn a_connection_leaves_a_record_on_both_sides() -> Result<()> {
    let log = Some("info,adit::access=debug");
    let mut place = Place::with(Options { log, ..Options::default() }).await?;
    let origin = echo().await?;
    let mut agent = place.tcp(&origin.port(), &["--log", "stderr", "--log-level", "debug"])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    assert_eq!(to_end(&mut stream).await??, b"hello");
    let mut logs = [String::new(), String::new()];
    until("both have written it down", EVENT_WITHIN, || {
        logs = [place.stack.program().log(), agent.program().log()];
        std::future::ready(logs.iter().all(|log| field(log, "outcome").is_some()))
    })
    .await?;
    for log in &logs {
        for (name, value) in [("kind", "tcp"), ("outcome", "served"), ("in_bytes", "5"), ("out_bytes", "5")] {
            assert_eq!(field(log, name), Some(value), "{name} in {log}");
        }
    }
    let [ours, agents] = &logs;
    let id = field(ours, "id").context("no id")?;
    assert_eq!((field(ours, "stream"), field(agents, "stream")), (Some(id), Some(id)));
    assert_eq!(field(ours, "visitor"), field(agents, "visitor"));
    assert_eq!(field(ours, "path").or_else(|| field(ours, "status")), None);
    Ok(())
}
