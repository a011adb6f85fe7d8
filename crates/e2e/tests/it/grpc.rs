//! gRPC through a tunnel: a client and a server that speak it by hand, with every kind of upstream.

use adit_e2e::{
    Agent, Connection, EVENT_WITHIN, GrpcOrigin, Home, Messages, Origin, Parts, SelfSigned, Speaks, Stack,
    Visitor, message, text,
};
use anyhow::{Context as _, Result};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

/// What an agent is told about an upstream that speaks HTTP/2.
const HTTP2: &[&str] = &["--upstream-protocol", "http2"];

/// A stack whose agent forwards to one upstream, and a visitor.
struct Tunnel {
    visitor: Visitor,
    agent: Agent,
    _home: Home,
    _stack: Stack,
}

impl Tunnel {
    async fn to(upstream: &str, more: &[&str]) -> Result<Self> {
        let stack = Stack::start().await?;
        let home = Home::new(&stack, &stack.tenant("acme").await?)?;
        let mut agent = home.adit(&[&["http", upstream, "--json", "--url", "demo"], more].concat())?;
        let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
        Ok(Self { visitor, agent, _home: home, _stack: stack })
    }
}

/// Every kind of upstream, with what the agent is told.
async fn upstreams() -> Result<Vec<(GrpcOrigin, String, &'static [&'static str])>> {
    let (h1, h2c) =
        (GrpcOrigin::start(Speaks::Http1, None).await?, GrpcOrigin::start(Speaks::Http2, None).await?);
    let h2 = GrpcOrigin::start(Speaks::Http2, Some(SelfSigned::new("localhost")?.acceptor(&["h2"]))).await?;
    let (at_h1, at_h2c, at_h2) = (h1.port(), h2c.port(), format!("https://localhost:{}", h2.port()));
    Ok(vec![(h1, at_h1, &[]), (h2c, at_h2c, HTTP2), (h2, at_h2, HTTP2)])
}

fn call(connection: &Connection, path: &str, body: adit_e2e::Body) -> Result<Request<adit_e2e::Body>> {
    let mut request = connection.request(Method::POST, path, body)?;
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    Ok(request)
}

async fn begin(connection: &mut Connection, path: &str) -> Result<(Parts, Response<Incoming>)> {
    let (parts, body) = Parts::channel();
    let request = call(connection, path, body)?;
    Ok((parts, connection.send(request).await?))
}

#[tokio::test]
async fn calls_go_to_every_kind_of_upstream_with_their_trailers() -> Result<()> {
    for (_origin, upstream, more) in upstreams().await? {
        let tunnel = Tunnel::to(&upstream, more).await?;
        let mut connection = tunnel.visitor.http2().await?;
        for round in 0..3 {
            let text_of = format!("hello {round}");
            let request = call(&connection, "/test/Echo", text(message(text_of.as_bytes())))?;
            let response = connection.send(request).await?;
            assert_eq!(response.status(), StatusCode::OK, "{upstream}");
            let mut messages = Messages::of(response.into_body());
            assert_eq!(messages.next().await?.context("no message")?, text_of, "{upstream}");
            assert_eq!(messages.next().await?, None, "{upstream}");
            let trailers = messages.trailers.context("no trailers")?;
            assert_eq!(trailers.get("grpc-status").context("no status")?, "0", "{upstream}");
            assert_eq!(trailers.get("saw-te").context("no te")?, "trailers", "{upstream}");
        }
        let request = call(&connection, "/test/Fail", text(message(b"")))?;
        let response = connection.send(request).await?;
        assert_eq!(response.headers().get("grpc-status").context("no status")?, "5", "{upstream}");
    }
    Ok(())
}

#[tokio::test]
async fn both_sides_talk_in_turn_on_many_calls_at_once() -> Result<()> {
    for (_origin, upstream, more) in upstreams().await? {
        let tunnel = Tunnel::to(&upstream, more).await?;
        let connection = tunnel.visitor.http2().await?;
        let mut calls = Vec::new();
        for _ in 0..10 {
            let mut stream = connection.stream()?;
            let (parts, response) = begin(&mut stream, "/test/Echo").await?;
            calls.push((stream, parts, Messages::of(response.into_body())));
        }
        for round in 0..10 {
            for (number, (_, parts, messages)) in calls.iter_mut().enumerate() {
                let said = format!("{number} says {round}");
                parts.send(message(said.as_bytes())).await?;
                assert_eq!(messages.next().await?.context("no message")?, said, "{upstream}");
            }
        }
        for (_stream, parts, mut messages) in calls {
            drop(parts);
            assert_eq!(messages.next().await?, None);
            let trailers = messages.trailers.context("no trailers")?;
            assert_eq!(trailers.get("grpc-status").context("no status")?, "0", "{upstream}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_breaks_is_seen_to_break_on_the_other_side() -> Result<()> {
    for (origin, upstream, more) in upstreams().await? {
        let tunnel = Tunnel::to(&upstream, more).await?;
        let mut connection = tunnel.visitor.http2().await?;
        // The upstream breaks off.
        let (parts, response) = begin(&mut connection, "/test/Break").await?;
        let mut messages = Messages::of(response.into_body());
        parts.send(message(b"one")).await?;
        assert_eq!(messages.next().await?.context("no message")?, "one", "{upstream}");
        parts.send(message(b"two")).await?;
        assert!(messages.next().await.is_err(), "{upstream}: a broken call ended well");
        // The visitor cancels.
        let (parts, response) = begin(&mut connection, "/test/Echo").await?;
        let mut messages = Messages::of(response.into_body());
        parts.send(message(b"hello")).await?;
        assert_eq!(messages.next().await?.context("no message")?, "hello", "{upstream}");
        drop((messages, parts));
        drop(connection);
        origin.calls("the cancellation", |calls| calls.cancelled == 1).await?;
        // Nobody else is hurt.
        let mut connection = tunnel.visitor.http2().await?;
        let request = call(&connection, "/test/Echo", text(message(b"still here")))?;
        let mut messages = Messages::of(connection.send(request).await?.into_body());
        assert_eq!(messages.next().await?.context("no message")?, "still here", "{upstream}");
    }
    Ok(())
}

/// A tunnel to an upstream that speaks something else, and what a visitor is told.
async fn mistaken(upstream: &str, more: &[&str]) -> Result<(Tunnel, String)> {
    let tunnel = Tunnel::to(upstream, more).await?;
    let response = tunnel.visitor.http2().await?.get("/").await?;
    let code = response.headers().get("adit-error").context("no code")?.to_str()?.to_owned();
    Ok((tunnel, code))
}

#[tokio::test]
async fn an_upstream_in_the_clear_that_speaks_something_else_is_a_bad_gateway() -> Result<()> {
    let origin = Origin::start().await?;
    assert_eq!(mistaken(&origin.port(), HTTP2).await?.1, "ADIT-2005");
    let only_http2 = GrpcOrigin::start(Speaks::Http2, None).await?;
    assert_eq!(mistaken(&only_http2.port(), &[]).await?.1, "ADIT-2005");
    Ok(())
}

#[tokio::test]
async fn with_tls_the_agent_says_what_its_upstream_does_not_speak() -> Result<()> {
    for (speaks, alpn, more, advice) in
        [(Speaks::Http1, "http/1.1", HTTP2, "HTTP/2: leave out"), (Speaks::Http2, "h2", &[], "HTTP/1.1: add")]
    {
        let origin = GrpcOrigin::start(speaks, Some(SelfSigned::new("localhost")?.acceptor(&[alpn]))).await?;
        let (mut tunnel, code) = mistaken(&format!("https://localhost:{}", origin.port()), more).await?;
        assert_eq!(code, "ADIT-2002", "{advice}");
        let event = tunnel.agent.event("upstream_refused", EVENT_WITHIN).await?;
        assert!(event["message"].as_str().context("no message")?.contains(advice), "{event}");
    }
    Ok(())
}
