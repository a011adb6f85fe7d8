//! Visitors' bytes between the node and the upstream.

use std::io::ErrorKind;

use adit_domain::Epoch;
use adit_domain::id::EndpointId;
use adit_mux::{Answer, StreamError};
use adit_net::tls::accept;
use adit_wire::record::AbortCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::fake::{FakeServer, PATIENCE};
use crate::program::Home;

async fn service(upstream: &TcpListener) -> TcpStream {
    timeout(PATIENCE, upstream.accept()).await.unwrap().unwrap().0
}

#[tokio::test]
async fn bytes_pass_both_ways_and_ends_are_ends() {
    for bind_to in ["127.0.0.1:0", "[::1]:0"] {
        let server = FakeServer::start().await;
        let upstream = TcpListener::bind(bind_to).await.unwrap();
        let home = Home::of(&server);
        // A bare port finds the service on either loopback address.
        let _program = home.http(&upstream.local_addr().unwrap().port().to_string(), &[]);
        let (session, _, bound) = server.online(1).await;
        let mut visitor = session.visitor(&bound).await;
        visitor.write_all(b"question").await.unwrap();
        visitor.shutdown().await.unwrap();
        assert_eq!(visitor.answer().await.unwrap(), Answer::Dialled);
        let mut service = service(&upstream).await;
        let mut text = String::new();
        service.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        service.write_all(b"answer").await.unwrap();
        service.shutdown().await.unwrap();
        let mut text = String::new();
        visitor.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
    }
}

#[tokio::test]
async fn nothing_listening_is_refused_and_said_once() {
    let server = FakeServer::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let home = Home::of(&server);
    let mut program = home.http(&closed.to_string(), &[]);
    let (session, _, bound) = server.online(1).await;
    for _ in 0..3 {
        assert_eq!(session.visitor(&bound).await.answer().await.unwrap(), Answer::Refused);
    }
    let event = program.event_at_last("upstream_refused").await;
    assert_eq!(event["upstream"], format!("http://{closed}"));
    assert_eq!(event["reason"], "refused");
    assert_eq!(event["message"], format!("nothing is listening on {closed}"));
    program.signal("INT").await;
    assert_eq!(program.ended().await.stdout.matches("upstream_refused").count(), 1);
}

#[tokio::test]
async fn a_stream_for_another_binding_reaches_nobody() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let _program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let (session, _, bound) = server.online(5).await;
    let mut older = bound.clone();
    older.epoch = Epoch(4);
    let mut newer = bound.clone();
    newer.epoch = Epoch(6);
    let mut foreign = bound.clone();
    foreign.endpoint = EndpointId::new();
    for wrong in [older, newer, foreign] {
        let error = session.visitor(&wrong).await.answer().await.unwrap_err();
        assert_eq!(error, StreamError::Aborted(AbortCode::NotBound));
    }
    // The first connection that the upstream sees is the right one's.
    let mut visitor = session.visitor(&bound).await;
    visitor.write_all(b"right").await.unwrap();
    let mut bytes = [0; 5];
    service(&upstream).await.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"right");
}

#[tokio::test]
async fn a_cut_upload_never_looks_whole_to_the_upstream() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let (session, _, bound) = server.online(1).await;
    for by_the_visitor in [true, false] {
        let mut visitor = session.visitor(&bound).await;
        visitor.write_all(b"half of ").await.unwrap();
        let mut service = service(&upstream).await;
        let mut bytes = [0; 8];
        service.read_exact(&mut bytes).await.unwrap();
        if by_the_visitor {
            drop(visitor);
        } else {
            program.signal("INT").await;
        }
        let cut = timeout(PATIENCE, service.read(&mut bytes)).await.unwrap();
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_lost_session_resets_what_the_upstream_was_getting() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let _program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let (session, _, bound) = server.online(1).await;
    let mut visitor = session.visitor(&bound).await;
    visitor.write_all(b"half of ").await.unwrap();
    let mut service = service(&upstream).await;
    let mut bytes = [0; 8];
    service.read_exact(&mut bytes).await.unwrap();
    session.session.close("lost");
    let cut = timeout(PATIENCE, service.read(&mut bytes)).await.unwrap();
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_by_the_upstream_is_no_end_for_the_visitor() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let _program = home.http(&upstream.local_addr().unwrap().to_string(), &[]);
    let (session, _, bound) = server.online(1).await;
    let mut visitor = session.visitor(&bound).await;
    visitor.write_all(b"question").await.unwrap();
    let mut service = service(&upstream).await;
    service.write_all(b"half of ").await.unwrap();
    let mut bytes = [0; 8];
    visitor.read_exact(&mut bytes).await.unwrap();
    adit_net::socket::reset_on_drop(&service);
    drop(service);
    let cut = timeout(PATIENCE, visitor.read(&mut bytes)).await.unwrap();
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_https_upstream_on_this_computer_needs_no_trusted_certificate() {
    let server = FakeServer::start().await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::of(&server);
    let port = upstream.local_addr().unwrap().port();
    let mut program = home.http(&format!("https://localhost:{port}"), &[]);
    let (session, _, bound) = server.online(1).await;
    let mut visitor = session.visitor(&bound).await;
    let stream = service(&upstream).await;
    let mut tls = accept(server.web_tls(), stream, Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(visitor.answer().await.unwrap(), Answer::Dialled);
    tls.write_all(b"secret").await.unwrap();
    tls.flush().await.unwrap();
    let mut bytes = [0; 6];
    visitor.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"secret");
    // An upstream that speaks no TLS is told apart.
    let mut visitor = session.visitor(&bound).await;
    let mut plain = service(&upstream).await;
    plain.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    assert_eq!(visitor.answer().await.unwrap(), Answer::Refused);
    assert_eq!(program.event_at_last("upstream_refused").await["reason"], "tls");
}
