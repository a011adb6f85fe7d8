//! Programs are killed in the middle of transfers, and stopped and started.

use std::collections::BTreeSet;

use adit_e2e::{Signal, full};
use adit_testkit::ledger::{Kept, Killed};
use anyhow::{Context as _, Result};
use serde_json::Value;

use super::place::{EVENTUALLY, Place};
use super::promises::{AGENT_BACK, LONGEST_PAUSE, NEW_SERVER, SERVER_BACK, busy};

/// F1.
#[tokio::test]
async fn an_agent_is_killed_in_the_middle_of_transfers() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('b');
    for _ in 0..if full() { 200 } else { 4 } {
        place.carried(6).await?;
        place.kill_agent().await?;
        let killed = place.fault("the agent was killed");
        place.replace_agent().await?;
        place.serves_again('a', killed, busy(AGENT_BACK)).await?;
    }
    place.judge().await
}

/// F2, with what was acknowledged while it happened.
#[tokio::test]
async fn the_server_is_killed_in_the_middle_of_transfers() -> Result<()> {
    let mut place = Place::start().await?;
    let mut kept = Kept::default();
    kept.acknowledge("tenant-a");
    kept.acknowledge("tenant-b");
    let endpoint = place.endpoint()?;
    for round in 0..if full() { 50 } else { 2 } {
        place.carried(6).await?;
        // Writes go on meanwhile. One that fails may be there or not.
        let name = format!("tenant-{round}");
        kept.ask(&name);
        if place.create_tenant_and_kill(&name).await? {
            kept.acknowledge(&name);
        }
        place.fault("the server was killed");
        place.stack.start_again().await?;
        let started = place.ledger.now();
        place.bound('a').await?;
        place.bound('b').await?;
        // An agent whose sessions do not live for a minute takes longer and longer pauses.
        let promised = if round < 2 { SERVER_BACK } else { LONGEST_PAUSE + AGENT_BACK };
        for mark in ['a', 'b'] {
            place.serves_again(mark, started, busy(promised)).await?;
        }
        assert_eq!(place.endpoint()?, endpoint, "another endpoint under the same name");
        assert_eq!(kept.violations(&place.tenants().await?), Vec::<String>::new());
    }
    assert!(kept.acknowledged() >= 2);
    place.judge().await
}

/// F3, for those whose requests come while it leaves.
#[tokio::test]
async fn the_server_is_stopped_and_started_under_load() -> Result<()> {
    let mut place = Place::start().await?;
    place.carried(6).await?;
    place.stack.program().signal(Signal::TERM)?;
    place.fault("the server is asked to leave");
    assert!(place.stack.program().end(EVENTUALLY).await?.success());
    place.stack.start_again().await?;
    place.judge_by(NEW_SERVER).await
}

impl Place {
    /// The endpoint that the first tenant's agent has.
    fn endpoint(&self) -> Result<String> {
        let assigned = self.faulty.seen().iter().rev().find(|event| event["event"] == "url_assigned");
        let endpoint = assigned.and_then(|event| event["endpoint"].as_str()).context("no endpoint")?;
        Ok(endpoint.to_owned())
    }

    /// Whether the tenant's creation was acknowledged; both programs write to the same database.
    async fn create_tenant_and_kill(&mut self, name: &str) -> Result<bool> {
        let mut create = self.stack.admin_command(&["tenant", "create", name])?;
        let (created, killed) = tokio::join!(create.status(), self.stack.program().kill());
        killed?;
        self.ledger.killed(Killed::Node);
        Ok(created?.success())
    }

    async fn tenants(&self) -> Result<BTreeSet<String>> {
        let tenants: Vec<Value> = self.stack.admin(&["tenant", "list"]).await?;
        Ok(tenants.iter().filter_map(|tenant| tenant["name"].as_str().map(str::to_owned)).collect())
    }
}
