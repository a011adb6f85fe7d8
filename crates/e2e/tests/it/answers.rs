//! What Adit itself says to a visitor when it cannot serve.

use adit_e2e::{Connection, EVENT_WITHIN, RawOrigin, Scene, Signal, Visitor, head_of, until};
use anyhow::Result;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

#[tokio::test]
async fn an_unknown_endpoint_is_404_in_three_shapes() -> Result<()> {
    let scene = Scene::start().await?;
    let nobody = Visitor::new(&scene.stack, "nobody.localhost")?;
    for mut connection in nobody.each().await? {
        assert_shapes(&mut connection, StatusCode::NOT_FOUND, "ADIT-2000").await?;
    }
    assert_eq!(scene.origin.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_without_an_agent_is_503_in_three_shapes() -> Result<()> {
    let mut scene = Scene::start().await?;
    // One that is about to bind as it leaves has only vanished, and is waited for.
    scene.agent.connected().await?;
    scene.agent.program().signal(Signal::INT)?;
    assert_eq!(scene.agent.exit(EVENT_WITHIN).await?, 130);
    for mut connection in scene.visitor.each().await? {
        assert_shapes(&mut connection, StatusCode::SERVICE_UNAVAILABLE, "ADIT-2001").await?;
        let answer = connection.get("/").await?;
        assert!(answer.headers().contains_key(RETRY_AFTER), "{:?}", answer.headers());
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502_in_three_shapes() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let mut scene = Scene::start_with(&nobody.to_string()).await?;
    for mut connection in scene.visitor.each().await? {
        assert_shapes(&mut connection, StatusCode::BAD_GATEWAY, "ADIT-2002").await?;
    }
    let told = scene.agent.event("upstream_refused", EVENT_WITHIN).await?;
    assert_eq!(told["reason"], "refused");
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_hangs_up_or_speaks_no_http_is_502() -> Result<()> {
    for answer in [
        "",
        "HTTP/1.1 200 O",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let origin = RawOrigin::start(move |mut stream| async move {
            head_of(&mut stream).await?;
            stream.write_all(answer.as_bytes()).await?;
            Ok(stream.shutdown().await?)
        })
        .await?;
        let scene = Scene::start_with(&origin.port()).await?;
        for mut connection in scene.visitor.each().await? {
            let request = connection.request(Method::POST, "/", adit_e2e::text("x"))?;
            let response = connection.send(request).await?;
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{answer:?}");
            assert_eq!(response.headers()["adit-error"], "ADIT-2005", "{answer:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_request_whose_agent_dies_before_the_answer_is_502() -> Result<()> {
    let mut scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let before = scene.origin.requests();
        let request = connection.request(Method::POST, "/hang", adit_e2e::text("x"))?;
        let killed = async {
            until("the request is at the upstream", EVENT_WITHIN, || async {
                scene.origin.requests() > before
            })
            .await?;
            scene.agent.program().kill().await
        };
        let (answer, killed) = tokio::join!(connection.send(request), killed);
        killed?;
        let answer = answer?;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(answer.headers()["adit-error"], "ADIT-2006");
        // Nobody can know what it did: it must not be done twice.
        assert_eq!(scene.origin.requests(), before + 1);
        scene.agent = scene.home.http(&scene.origin.port(), Some("demo"))?;
        scene.agent.url().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_request_for_another_host_than_the_connection_is_for_is_421() -> Result<()> {
    let scene = Scene::start().await?;
    let app = Visitor::new(&scene.stack, scene.stack.app_host())?;
    let (endpoint_authority, app_authority) = (scene.visitor.https_authority(), app.https_authority());
    for (visitor, other) in [(&scene.visitor, app_authority), (&app, endpoint_authority)] {
        for mut connection in [visitor.https().await?, visitor.http2().await?] {
            let answer = get_from(&mut connection, &other).await?;
            assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{other} at {}", visitor.hostname());
            assert_eq!(answer.headers()["adit-error"], "ADIT-1003");
        }
    }
    assert_eq!(scene.origin.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn answers_keep_the_connection_where_it_is_sound() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let scene = Scene::start_with(&nobody.to_string()).await?;
    for mut connection in scene.visitor.each().await? {
        for _ in 0..3 {
            let answer = connection.get("/").await?;
            assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
            answer.into_body().collect().await?;
        }
    }
    Ok(())
}

/// Asks for `authority` on a connection that was made for another host.
async fn get_from(connection: &mut Connection, authority: &str) -> Result<Response<Incoming>> {
    let mut request = connection.request(Method::GET, "/", adit_e2e::empty())?;
    if request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
    } else {
        *request.uri_mut() = format!("https://{authority}/").parse()?;
    }
    connection.send(request).await
}

/// A page for browsers, JSON for programs, text for those who ask for it: each with code and request id.
async fn assert_shapes(connection: &mut Connection, status: StatusCode, code: &str) -> Result<()> {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (accept, kind) in [
        (browser, "text/html"),
        ("application/json", "application/problem+json"),
        ("text/plain", "text/plain"),
        ("*/*", "application/problem+json"),
    ] {
        let mut request = connection.request(Method::GET, "/some/path", adit_e2e::empty())?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_str(accept)?);
        let answer = connection.send(request).await?;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["adit-error"], code);
        let id = answer.headers()["adit-request-id"].to_str()?.to_owned();
        assert!(answer.headers()[CONTENT_TYPE].to_str()?.starts_with(kind), "{:?}", answer.headers());
        let body = answer.into_body().collect().await?.to_bytes();
        let body = String::from_utf8(body.to_vec())?;
        assert!(body.contains(code) && body.contains(&id), "{body}");
        assert!(body.len() <= 6000, "{} bytes", body.len());
        match kind {
            "text/html" => assert!(!body.to_lowercase().contains("<script"), "{body}"),
            "application/problem+json" => {
                let problem: serde_json::Value = serde_json::from_str(&body)?;
                assert_eq!(problem["status"], status.as_u16());
            }
            _ => assert!(!body.contains('<'), "{body}"),
        }
    }
    Ok(())
}
