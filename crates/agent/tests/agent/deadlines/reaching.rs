//! A server, a node, or a way to them that does not answer.

use adit_agent::limits::{BIND, EXCHANGE, PREFACE, SERVER_DIAL, TLS_HANDSHAKE};
use adit_net::tls::accept;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::{Scene, scene, takes};
use crate::fake::{FakeServer, Network, PATIENCE};

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_no_connection_has_a_deadline() {
    let mut scene = scene();
    scene.network.silence(Network::NODE);
    takes(SERVER_DIAL, scene.disconnected()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_speaks_no_tls_has_a_deadline() {
    let mut scene = scene();
    let _silent = scene.server.knock_at_node().await;
    takes(TLS_HANDSHAKE, scene.disconnected()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_the_preface_has_a_deadline() {
    let mut scene = scene();
    let _silent = scene.server.knock().await;
    takes(PREFACE, scene.disconnected()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_the_bind_has_a_deadline() {
    let mut scene = scene();
    let mut session = scene.server.knock().await.welcome().await;
    let _unanswered = session.bind().await;
    takes(BIND, scene.disconnected()).await;
}

#[tokio::test(start_paused = true)]
async fn an_exchange_has_a_deadline_however_far_it_came() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let (server, network) = FakeServer::in_memory();
    network.silence(Network::API);
    let mut scene = Scene::of(server, network);
    takes(EXCHANGE, scene.disconnected()).await;

    let (server, network) = FakeServer::in_memory();
    let mut scene = Scene::of(server, network);
    let silent = scene.server.knock_at_api().await;
    takes(EXCHANGE, scene.disconnected()).await;
    drop(silent);

    for bytes in [0, ANSWER.len() - 1] {
        let (server, network) = FakeServer::in_memory();
        let mut scene = Scene::of(server, network);
        let begun = Instant::now();
        let io = scene.server.knock_at_api().await;
        let mut io = accept(scene.server.web_tls(), io, begun + PATIENCE).await.unwrap();
        io.write_all(&ANSWER[..bytes]).await.unwrap();
        io.flush().await.unwrap();
        takes(EXCHANGE, scene.disconnected()).await;
    }
}
