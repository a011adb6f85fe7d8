//! Who says nothing, or everything but the end, is waited for until its deadline, no shorter and no longer. The clock of
//! these nodes stands still while anybody has something to do, so times are exact.

mod agents;
mod control_plane;
mod flows;
mod requests;
mod visitors;

use std::time::Duration;

use adit_domain::id::TenantId;
use adit_mux::Config;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::support::agent::{Identity, TestAgent};
use crate::support::authority::Authority;
use crate::support::node::TestNode;

const HOST: &str = "one.localhost";

/// A node whose clock stands still; agents' sessions never end for their silence.
fn still() -> TestNode {
    still_with(Config::default())
}

fn still_with(sessions: Config) -> TestNode {
    TestNode::still(Authority::new(), |builder| builder.sessions(sessions))
}

/// A still node, and an agent that has bound [`HOST`].
async fn served() -> (TestNode, TestAgent) {
    let node = still();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    (node, agent)
}

/// What this comes to, which must be so long from now.
async fn takes<F: Future>(expected: Duration, future: F) -> F::Output {
    adit_testkit::takes(expected, future).await.unwrap()
}

/// Reads until the connection ends.
async fn ends(io: &mut (impl AsyncRead + Unpin)) {
    let _ = io.read_to_end(&mut Vec::new()).await;
}
