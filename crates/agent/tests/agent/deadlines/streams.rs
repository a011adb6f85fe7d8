//! Upstreams and visitors that do not answer.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_agent::limits::{
    CERTIFICATE_LOOK, FLOW_IDLE, UPSTREAM_DIAL, UPSTREAM_EVENT_EVERY, VISITOR_HANDSHAKE,
};
use adit_agent::{Event, Upstream};
use adit_mux::{Answer, DatagramIo, Flow, FlowEnd, FlowIdle};
use adit_wire::record::AbortCode;
use adit_wire::stream::StreamKind;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{Scene, builder, scene, takes};
use crate::fake::{FakeServer, Network};

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_no_connection_has_a_deadline() {
    let scene = scene();
    let (session, _, bound) = scene.server.online(1).await;
    scene.network.silence(Network::UPSTREAM);
    let mut stream = session.visitor(&bound).await;
    assert_eq!(takes(UPSTREAM_DIAL, stream.answer()).await, Ok(Answer::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_speaks_no_tls_has_the_same_deadline() {
    let (server, network) = FakeServer::in_memory();
    server.serve_api();
    let upstream = Upstream::parse(&format!("https://localhost:{}", Network::UPSTREAM)).unwrap();
    let builder = builder(&server, &network, upstream);
    let scene = Scene::built(server, network, builder);
    let (session, _, bound) = scene.server.online(1).await;
    let mut stream = session.visitor(&bound).await;
    let _silent = scene.network.upstream().await;
    assert_eq!(takes(UPSTREAM_DIAL, stream.answer()).await, Ok(Answer::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn the_user_is_told_of_an_upstream_now_and_then() {
    const A_MOMENT: Duration = Duration::from_millis(10);
    let mut scene = scene();
    let (session, _, bound) = scene.server.online(1).await;
    scene.network.close(Network::UPSTREAM);
    let mut told = 0;
    for (pause, tells) in [
        (Duration::ZERO, true),
        (UPSTREAM_EVENT_EVERY.saturating_sub(A_MOMENT), false),
        (A_MOMENT, true),
        (A_MOMENT, false),
    ] {
        sleep(pause).await;
        let mut stream = session.visitor(&bound).await;
        assert_eq!(stream.answer().await, Ok(Answer::Refused));
        let event = scene.event(|event| matches!(event, Event::UpstreamRefused { .. }));
        let is_told = tokio::time::timeout(Duration::ZERO, event).await.is_ok();
        assert_eq!(is_told, tells, "{pause:?}");
        told += usize::from(is_told);
    }
    assert_eq!(told, 2);
}

/// Where the certificate of an agent is that speaks TLS with visitors.
struct Files {
    chain: PathBuf,
    _folder: TempDir,
}

/// An agent that speaks TLS with the visitors of `demo.test`.
fn terminating() -> (Scene, Files) {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let pair = rcgen::generate_simple_self_signed(vec!["demo.test".to_owned()]).unwrap();
    fs::write(&chain, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let (server, network) = FakeServer::in_memory();
    server.serve_api();
    let upstream = Upstream::parse_tls(&format!("localhost:{}", Network::UPSTREAM)).unwrap();
    let builder = builder(&server, &network, upstream).certificate(&chain, &key).unwrap();
    (Scene::built(server, network, builder), Files { chain, _folder: folder })
}

#[tokio::test(start_paused = true)]
async fn a_visitor_who_does_not_end_its_handshake_has_a_deadline() {
    let (scene, files) = terminating();
    let (session, _, bound) = scene.server.online(1).await;
    let roots = adit_net::tls::Roots::from_file(&files.chain).unwrap();
    let config = adit_net::tls::http_client(&roots, &[]).unwrap();
    let mut hello = Vec::new();
    let mut visitor =
        rustls::ClientConnection::new(Arc::clone(&config), "demo.test".try_into().unwrap()).unwrap();
    visitor.write_tls(&mut hello).unwrap();
    for bytes in [0, hello.len() - 1, hello.len()] {
        let mut stream = session.visitor_of(&bound, StreamKind::Tls).await;
        let _upstream = scene.network.upstream().await;
        assert_eq!(stream.answer().await, Ok(Answer::Dialled));
        stream.write_all(&hello[..bytes]).await.unwrap();
        stream.flush().await.unwrap();
        let ended = takes(VISITOR_HANDSHAKE, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_err(), "an end in good order");
    }
}

#[tokio::test(start_paused = true)]
async fn files_of_a_certificate_that_do_not_fit_together_are_told_at_the_second_look() {
    let (mut scene, files) = terminating();
    let _online = scene.server.online(1).await;
    fs::write(&files.chain, "no certificate").unwrap();
    let told = scene.event(|event| matches!(event, Event::Warning { .. }));
    takes(2 * CERTIFICATE_LOOK, told).await;
}

/// A visitor who asks once.
struct Question(bool);

impl DatagramIo for Question {
    fn poll_recv(&mut self, _: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.0) {
            datagram.extend(b"question");
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn poll_send(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_the_node_does_not_end_ends() {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (server, network) = FakeServer::in_memory();
    server.serve_api();
    let address = Upstream::parse_udp(&upstream.local_addr().unwrap().to_string()).unwrap();
    let builder = builder(&server, &network, address);
    let scene = Scene::built(server, network, builder);
    let (session, _, bound) = scene.server.online(1).await;
    let stream = session.visitor_of(&bound, StreamKind::Udp).await;
    let mut flow = Flow::new(stream, Question(true));
    let ended = takes(FLOW_IDLE, flow.run(FlowIdle::of(2 * FLOW_IDLE))).await;
    assert_eq!(ended, FlowEnd::Aborted(AbortCode::Idle));
}
