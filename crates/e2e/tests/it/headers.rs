//! What the upstream is told about a visitor, and what no visitor can make it believe.

use adit_e2e::{Connection, Scene, empty};
use anyhow::Result;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

type Fields = Vec<(String, String)>;

async fn seen(connection: &mut Connection, headers: HeaderMap) -> Result<Fields> {
    let answer = connection.get_json("/echo-headers", headers).await?;
    Ok(serde_json::from_value(answer["headers"].clone())?)
}

fn values<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn the_upstream_is_told_who_came_and_how() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let scheme = connection.scheme();
        let authority =
            if scheme == "http" { scene.visitor.http_authority() } else { scene.visitor.https_authority() };
        let fields = seen(&mut connection, HeaderMap::new()).await?;
        assert_eq!(values(&fields, "host"), [authority.as_str()]);
        assert_eq!(values(&fields, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(values(&fields, "x-forwarded-proto"), [scheme]);
        assert_eq!(values(&fields, "x-forwarded-host"), [authority.as_str()]);
    }
    Ok(())
}

#[tokio::test]
async fn claims_of_a_visitor_are_dropped() -> Result<()> {
    let scene = Scene::start().await?;
    let claims = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-forwarded",
        "forwarded",
        "x-client-ip",
        "x-real-ip",
        "adit-user",
        "adit-request-id",
        "adit-error",
    ];
    for mut connection in scene.visitor.each().await? {
        let mut headers = HeaderMap::new();
        for name in claims {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("6.6.6.6"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("for=6.6.6.6"));
        }
        headers.insert("x-mine", HeaderValue::from_static("stays"));
        let fields = seen(&mut connection, headers).await?;
        assert!(!fields.iter().any(|(_, value)| value.contains("6.6.6.6")), "{fields:?}");
        assert_eq!(values(&fields, "x-mine"), ["stays"]);
        assert_eq!(values(&fields, "x-forwarded-for"), ["127.0.0.1"]);
    }
    Ok(())
}

#[tokio::test]
async fn what_belongs_to_one_hop_stays_there() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in [scene.visitor.http().await?, scene.visitor.https().await?] {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("keep-alive, x-secret-of-this-hop"));
        for name in ["x-secret-of-this-hop", "keep-alive", "proxy-authorization", "proxy-connection"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("timeout=5"));
        }
        let fields = seen(&mut connection, headers).await?;
        assert!(!fields.iter().any(|(_, value)| value == "timeout=5"), "{fields:?}");
    }
    Ok(())
}

#[tokio::test]
async fn headers_may_be_large_and_not_endless() -> Result<()> {
    let scene = Scene::start().await?;
    let value = |bytes: usize| HeaderValue::from_str(&"v".repeat(bytes));
    for mut connection in scene.visitor.each().await? {
        let mut headers = HeaderMap::new();
        headers.insert("x-large", value(24 * 1024)?);
        let fields = seen(&mut connection, headers).await?;
        assert_eq!(values(&fields, "x-large").concat().len(), 24 * 1024);
        let mut request = connection.request(Method::GET, "/echo-headers", empty())?;
        request.headers_mut().insert("x-endless", value(128 * 1024)?);
        // HTTP/2 may also end the stream, or the connection: its peer was told the limit.
        if let Ok(answer) = connection.send(request).await {
            assert_eq!(answer.status(), 431, "{:?}", connection.version());
        }
    }
    assert_eq!(scene.origin.requests(), 3);
    Ok(())
}

#[tokio::test]
async fn repeated_fields_and_odd_bytes_arrive_as_they_are() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let mut headers = HeaderMap::new();
        headers.append("x-twice", HeaderValue::from_static("one"));
        headers.append("x-twice", HeaderValue::from_static("two, three"));
        headers.append("x-empty", HeaderValue::from_static(""));
        headers.append("x-utf8", HeaderValue::from_bytes("größe".as_bytes())?);
        let fields = seen(&mut connection, headers).await?;
        assert_eq!(values(&fields, "x-twice"), ["one", "two, three"]);
        assert_eq!(values(&fields, "x-empty"), [""]);
        assert_eq!(values(&fields, "x-utf8"), ["größe"]);
    }
    Ok(())
}
