//! Connections that do not get as far as a request.

use std::sync::Arc;

use adit_net::tls;
use adit_server::limits::HANDSHAKE_DEADLINE;
use rustls::ClientConnection;
use tokio::io::AsyncWriteExt;

use super::{ends, still, takes};
use crate::support::node::TestNode;

/// What begins a connection that wants to speak this.
fn hello(node: &TestNode, protocol: &[u8]) -> Vec<u8> {
    let config = tls::agent_client(&node.roots, protocol).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(&config), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_deadline_however_far_it_came() {
    let node = still();
    for protocol in [adit_wire::ALPN, b"http/1.1"] {
        let hello = hello(&node, protocol);
        // With the last one the node has said its part, too.
        for bytes in [0, 1, hello.len() - 1, hello.len()] {
            let mut connection = node.dial_https().await;
            connection.write_all(&hello[..bytes]).await.unwrap();
            takes(HANDSHAKE_DEADLINE, ends(&mut connection)).await;
        }
    }
}
