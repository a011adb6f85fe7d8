#![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

mod pem_files;

use std::sync::Arc;
use std::time::Duration;

use adit_domain::{Hostname, Timestamp};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_rustls::{client, server};

use super::{DevCa, DevLeaves, HandshakeError, Resolver, Roots, accept, connect, exporter};
use super::{agent_client, agent_server, http_client, install_provider, public_server};

const AGENT: &[u8] = b"adit/1";
const LABEL: &[u8] = b"EXPORTER-test";

/// A development CA for `localhost` and the names right below it, and those who trust it.
struct Setup {
    _folder: TempDir,
    leaves: Arc<DevLeaves>,
    resolver: Arc<Resolver>,
    roots: Roots,
}

fn now() -> Timestamp {
    Timestamp::from_micros(adit_process::clock::wall_micros())
}

fn setup() -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let authority = Arc::new(DevCa::create_or_load(folder.path(), now()).unwrap());
    let parent = Hostname::parse("localhost").unwrap();
    let leaves = authority.leaves(move |name| *name == parent || name.is_direct_child_of(&parent));
    let leaves = Arc::new(leaves);
    let roots = Roots::from_file(authority.ca_pem_path()).unwrap();
    let resolver = Resolver::new(vec![Arc::clone(&leaves) as _]);
    Setup { _folder: folder, leaves, resolver, roots }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

type Pair = (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>);
type Failures = (Option<HandshakeError>, Option<HandshakeError>);

async fn shake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    host: &str,
) -> Result<Pair, Box<Failures>> {
    let (near, far) = duplex(64 * 1024);
    let outcome = tokio::join!(
        connect(Arc::clone(client), host, near, soon()),
        accept(Arc::clone(server), far, soon())
    );
    match outcome {
        (Ok(client), Ok(server)) => Ok((client, server)),
        (client, server) => Err(Box::new((client.err(), server.err()))),
    }
}

/// One byte each way, so that tickets have arrived as well.
async fn exchange((client, server): &mut Pair) {
    server.write_all(b"s").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b's');
    client.write_all(b"c").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'c');
}

#[tokio::test]
async fn both_ends_export_the_same_value_and_each_connection_its_own() {
    let setup = setup();
    let server = agent_server(setup.resolver, AGENT).unwrap();
    let client = agent_client(&setup.roots, AGENT).unwrap();
    let (near, far) = shake(&client, &server, "localhost").await.unwrap();
    let (other, _) = shake(&client, &server, "localhost").await.unwrap();

    let ours = exporter(near.get_ref().1, LABEL).unwrap();
    assert_eq!(ours, exporter(far.get_ref().1, LABEL).unwrap());
    assert_ne!(ours, exporter(near.get_ref().1, b"EXPORTER-other").unwrap());
    assert_ne!(ours, exporter(other.get_ref().1, LABEL).unwrap());
    assert_eq!(far.get_ref().1.alpn_protocol(), Some(AGENT));
}

#[tokio::test]
async fn visitors_agree_on_a_protocol_and_post_quantum_keys() {
    let setup = setup();
    let server = public_server(setup.resolver).unwrap();
    for (offered, agreed) in
        [(&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])), (&[b"http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let client = http_client(&setup.roots, offered).unwrap();
        let (near, _far) = shake(&client, &server, "demo.localhost").await.unwrap();
        let connection = near.get_ref().1;
        assert_eq!(connection.alpn_protocol(), agreed);
        let group = connection.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    }
    assert_eq!(server.max_early_data_size, 0);
}

#[tokio::test]
async fn agents_speak_tls_1_3_and_their_protocol_or_not_at_all() {
    let setup = setup();
    let server = agent_server(setup.resolver, AGENT).unwrap();
    let other_protocol = http_client(&setup.roots, &[b"h2"]).unwrap();
    let refused = shake(&other_protocol, &server, "localhost").await.unwrap_err();
    assert!(matches!(*refused, (_, Some(HandshakeError::Tls(rustls::Error::NoApplicationProtocol)))));

    let old_version = only_tls_1_2(&setup.roots);
    let refused = shake(&old_version, &server, "localhost").await.unwrap_err();
    assert!(matches!(*refused, (_, Some(HandshakeError::Tls(rustls::Error::PeerIncompatible(_))))));
}

fn only_tls_1_2(roots: &Roots) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots.store())
        .with_no_client_auth();
    config.alpn_protocols = vec![AGENT.to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn visitors_may_use_tls_1_2() {
    let setup = setup();
    let mut client = (*only_tls_1_2(&setup.roots)).clone();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let server = public_server(setup.resolver).unwrap();
    let (near, _far) = shake(&Arc::new(client), &server, "demo.localhost").await.unwrap();
    assert_eq!(near.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

/// A client that would resume wherever it can: full at first, resumed with visitors, never with agents.
#[tokio::test]
async fn a_visitors_session_is_resumed_with_visitors_only() {
    let setup = setup();
    let public = public_server(Arc::clone(&setup.resolver) as _).unwrap();
    let agents = agent_server(setup.resolver, AGENT).unwrap();
    let client = http_client(&setup.roots, &[b"h2", AGENT]).unwrap();
    for (server, kind) in [
        (&agents, HandshakeKind::Full),
        (&agents, HandshakeKind::Full),
        (&public, HandshakeKind::Full),
        (&public, HandshakeKind::Resumed),
        (&agents, HandshakeKind::Full),
    ] {
        let mut pair = shake(&client, server, "localhost").await.unwrap();
        assert_eq!(pair.1.get_ref().1.handshake_kind(), Some(kind));
        exchange(&mut pair).await;
    }
}

#[tokio::test]
async fn certificates_of_others_are_not_accepted() {
    let (ours, other) = (setup(), setup());
    let server = agent_server(ours.resolver, AGENT).unwrap();
    for roots in [&other.roots, &Roots::public()] {
        let client = agent_client(roots, AGENT).unwrap();
        let refused = shake(&client, &server, "localhost").await.unwrap_err();
        assert!(matches!(*refused, (Some(HandshakeError::Certificate(_)), Some(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn names_nobody_may_have_fail_the_handshake() {
    let setup = setup();
    let server = public_server(setup.resolver).unwrap();
    let client = http_client(&setup.roots, &[b"h2"]).unwrap();
    for host in ["example.com", "a.b.localhost", "under_score.localhost"] {
        assert!(shake(&client, &server, host).await.is_err(), "{host}");
    }
    for host in ["127.0.0.1", "[::1]", "::1"] {
        assert!(shake(&client, &server, host).await.is_ok(), "{host}");
    }
    let (near, _far) = duplex(64);
    let refused = connect(client, "not a host", near, soon()).await.unwrap_err();
    assert!(matches!(refused, HandshakeError::Host(_)));
}

#[tokio::test]
async fn a_peer_that_says_nothing_meets_the_deadline() {
    let setup = setup();
    let server = public_server(setup.resolver).unwrap();
    let client = http_client(&setup.roots, &[]).unwrap();
    let at_once = Instant::now() + Duration::from_millis(10);
    let ((near, _silent), (far, _silent_too)) = (duplex(4096), duplex(4096));
    let (connected, accepted) =
        tokio::join!(connect(client, "localhost", near, at_once), accept(server, far, at_once));
    assert!(matches!(connected, Err(HandshakeError::Deadline)));
    assert!(matches!(accepted, Err(HandshakeError::Deadline)));
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_an_io_error() {
    let setup = setup();
    let client = http_client(&setup.roots, &[]).unwrap();
    let (near, far) = duplex(64);
    drop(far);
    let failed = connect(client, "localhost", near, soon()).await.unwrap_err();
    assert!(matches!(failed, HandshakeError::Io(_)), "{failed:?}");
}

/// As the one port does it: peek, choose a configuration, hand the same bytes to TLS.
#[tokio::test]
async fn a_peeked_connection_goes_on_as_if_nobody_had_looked() {
    let setup = setup();
    let agents = agent_server(Arc::clone(&setup.resolver) as _, AGENT).unwrap();
    let public = public_server(setup.resolver).unwrap();
    let as_agent = agent_client(&setup.roots, AGENT).unwrap();
    let as_visitor = http_client(&setup.roots, &[b"h2"]).unwrap();
    for (client, agent, network_bytes) in
        [(&as_agent, true, 16), (&as_agent, true, 9000), (&as_visitor, false, 9000)]
    {
        let (near, far) = duplex(network_bytes);
        let server = async {
            let (hello, replay) = crate::hello::peek(far, soon()).await.unwrap();
            assert_eq!(hello.server_name.unwrap().as_str(), "demo.localhost");
            assert_eq!(hello.protocols.offer(AGENT), agent);
            let config = if agent { &agents } else { &public };
            let mut far = accept(Arc::clone(config), crate::io::Buffered::new(replay), soon()).await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), b'c');
            far.write_all(b"s").await.unwrap();
            far.flush().await.unwrap();
        };
        let client = async {
            let mut near = connect(Arc::clone(client), "demo.localhost", near, soon()).await.unwrap();
            near.write_all(b"c").await.unwrap();
            near.flush().await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b's');
        };
        tokio::join!(client, server);
    }
}

#[test]
fn the_provider_can_be_installed_more_than_once() {
    install_provider().unwrap();
    install_provider().unwrap();
}
