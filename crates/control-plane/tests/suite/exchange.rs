//! `POST /api/v1/agent/capability`, as an agent and as anybody else.

use std::convert::Infallible;
use std::net::IpAddr;

use adit_api::Problem;
use adit_api::capability::{CapabilityResponse, PATH};
use adit_control_plane::limits::{
    AGENT_VERSION_BYTES_MAX, BODY_BYTES_MAX, CAPABILITY_LIFETIME, EXCHANGES_PER_ADDRESS_BURST,
    EXCHANGES_PER_KEY_BURST,
};
use adit_domain::id::InstanceId;
use adit_domain::{ApiKey, Rights};
use adit_store::Revocation;
use adit_web::service::Peer;
use axum::body::Body;
use http::{Method, Request, StatusCode};

use crate::fixture::{Answer, Fixture, HOUR, agent_key, asks, post, settings};

#[tokio::test]
async fn a_key_becomes_a_capability() {
    let fixture = Fixture::new().await;
    let created = fixture.key().await;
    let answer = fixture.exchange(&created.key, agent_key().public()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.header("adit-request-id").is_empty());
    let response: CapabilityResponse = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(response.expires_in, CAPABILITY_LIFETIME.as_secs());
    assert_eq!((response.nodes, response.trust_roots), (settings().nodes, settings().trust_roots));

    let capability = fixture.capability(&created.key).await;
    assert_eq!(capability.api_key, created.id);
    assert_eq!(capability.agent_public_key, agent_key().public());
    assert_eq!(capability.rights, Rights::AGENT);
    assert_eq!(
        (capability.issued_at, capability.expires_at),
        (fixture.now(), fixture.now().plus(CAPABILITY_LIFETIME))
    );
    let rows = fixture.admin.capabilities("acme").await.unwrap();
    assert_eq!(rows.len(), 2, "each capability has its row");
    assert_eq!(rows[0].id, capability.id);
    assert_eq!(rows[0].instance, InstanceId::from_bytes([1; 16]));
}

#[tokio::test]
async fn without_a_key_there_is_nothing() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await.key;
    let text = key.expose();
    let shortened = &text[..text.len() - 1];
    for authorization in [
        vec![],
        vec![String::new()],
        vec!["Bearer".into()],
        vec!["Bearer ".into()],
        vec![text.into()],
        vec![format!("Basic {text}")],
        vec![format!("Bearer {shortened}")],
        vec![format!("Bearer {text}"), format!("Bearer {text}")],
    ] {
        let mut request = Request::post(PATH);
        for value in &authorization {
            request = request.header("authorization", value);
        }
        let answer = fixture.send(request.body(Body::empty()).unwrap()).await;
        assert_problem(&answer, 401, "ADIT-4000");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(!answer.text().contains(shortened), "{authorization:?}");
    }
    let request = Request::post(PATH).header("authorization", format!("bearer {text}"));
    let body = serde_json::to_vec(&asks(agent_key().public())).unwrap();
    let answer = fixture.send(request.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "the scheme's case does not matter");
}

#[tokio::test]
async fn keys_that_do_not_count_are_refused_alike() {
    let fixture = Fixture::new().await;
    let revoked = fixture.key().await;
    assert_eq!(fixture.admin.revoke_api_key(revoked.id).await.unwrap(), Revocation::Revoked);
    let expired = fixture.admin.create_api_key("acme", "short", Some(HOUR)).await.unwrap();
    fixture.pass(HOUR);
    let unknown = ApiKey::generate().unwrap();
    for (case, key) in [("revoked", &revoked.key), ("expired", &expired.key), ("unknown", &unknown)] {
        let answer = fixture.exchange(key, agent_key().public()).await;
        assert_problem(&answer, 401, "ADIT-4001");
        assert!(!answer.text().contains(key.expose()), "{case}");
        // Who has no key learns nothing of what the path takes.
        assert_problem(&fixture.send(post(key, "not json")).await, 401, "ADIT-4001");
    }
    assert!(fixture.admin.capabilities("acme").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_capability_does_not_outlive_its_key() {
    let fixture = Fixture::new().await;
    let short = fixture.admin.create_api_key("acme", "short", Some(HOUR)).await.unwrap();
    let answer = fixture.exchange(&short.key, agent_key().public()).await;
    let response: CapabilityResponse = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(response.expires_in, HOUR.as_secs());
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await.key;
    let hex = agent_key().public().to_hex();
    let id = InstanceId::new();
    let version = |bytes: usize| {
        format!(r#"{{"agent_public_key":"{hex}","instance":"{id}","agent_version":"{}"}}"#, "v".repeat(bytes))
    };
    for body in [
        String::new(),
        "not json".into(),
        "[]".into(),
        "{}".into(),
        "\u{feff}{}".into(),
        format!(r#"{{"agent_public_key":"{hex}","instance":"{id}"}}"#),
        format!(r#"{{"agent_public_key":"{hex}","instance":"{id}","agent_version":"1","admin":true}}"#),
        format!(r#"{{"agent_public_key":"{}","instance":"{id}","agent_version":"1"}}"#, &hex[2..]),
        format!(r#"{{"agent_public_key":"{}","instance":"{id}","agent_version":"1"}}"#, "z".repeat(64)),
        format!(r#"{{"agent_public_key":"{hex}","instance":"x","agent_version":"1"}}"#),
        format!("{} x", version(1)),
        version(AGENT_VERSION_BYTES_MAX + 1),
    ] {
        let answer = fixture.send(post(&key, body.clone())).await;
        assert_eq!(answer.header("adit-error"), "ADIT-1008", "{body}");
        assert_problem(&answer, 400, "ADIT-1008");
    }
    for bytes in [AGENT_VERSION_BYTES_MAX - 1, AGENT_VERSION_BYTES_MAX] {
        assert_eq!(fixture.send(post(&key, version(bytes))).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_body_has_a_bound() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await.key;
    let json = serde_json::to_string(&asks(agent_key().public())).unwrap();
    for (bytes, status) in [
        (BODY_BYTES_MAX - 1, 200),
        (BODY_BYTES_MAX, 200),
        (BODY_BYTES_MAX + 1, 413),
        (4 * BODY_BYTES_MAX, 413),
    ] {
        let padded = format!("{json:bytes$}");
        let stated = fixture.send(post(&key, padded.clone())).await;
        assert_eq!(stated.status, status, "{bytes}");
        // Without a stated length, as a chunked body arrives.
        let chunks: Vec<_> =
            padded.into_bytes().chunks(1000).map(|c| Ok::<_, Infallible>(c.to_vec())).collect();
        let streamed = fixture.send(post(&key, Body::from_stream(futures::stream::iter(chunks)))).await;
        assert_eq!(streamed.status, status, "{bytes} streamed");
        if status == 413 {
            assert_problem(&streamed, 413, "ADIT-1004");
        }
    }
}

#[tokio::test]
async fn other_methods_and_paths() {
    let fixture = Fixture::new().await;
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = Request::builder().method(&method).uri(PATH).body(Body::empty()).unwrap();
        let answer = fixture.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"), "{method}");
        assert_eq!(answer.header("adit-error"), "ADIT-1001", "{method}");
    }
    for path in ["/", "/api/v1/agent", "/api/v1/agent/capability/", "/api/v1/agent/capability/x"] {
        assert_problem(
            &fixture.send(Request::post(path).body(Body::empty()).unwrap()).await,
            404,
            "ADIT-4004",
        );
    }
    let live = fixture.send(Request::get("/livez").body(Body::empty()).unwrap()).await;
    assert_eq!(live.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_store_that_is_away_is_not_the_keys_fault() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await.key;
    fixture.store.close().await;
    let answer = fixture.exchange(&key, agent_key().public()).await;
    assert_problem(&answer, 503, "ADIT-3002");
    assert_eq!(answer.header("retry-after"), "5");
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("adit-error")), (status, code), "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (status, code));
    assert_eq!(problem.request_id.as_deref(), Some(answer.header("adit-request-id")));
}

#[tokio::test]
async fn an_address_and_a_key_exchange_only_so_often() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await.key;
    let body = serde_json::to_vec(&asks(agent_key().public())).unwrap();
    let from = |last: u8, key: &ApiKey| {
        let mut request = post(key, body.clone());
        request.extensions_mut().insert(Peer(IpAddr::from([192, 0, 2, last])));
        request
    };
    // From one address, with a different key that nobody made each time.
    let mut asked = 0;
    let refused = loop {
        let answer = fixture.send(from(1, &ApiKey::generate().unwrap())).await;
        if answer.status != StatusCode::UNAUTHORIZED {
            break answer;
        }
        asked += 1;
        assert!(asked < 20 * EXCHANGES_PER_ADDRESS_BURST);
    };
    assert!(asked >= EXCHANGES_PER_ADDRESS_BURST, "{asked}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["adit-error"], "ADIT-1009");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");

    // Others are served, until a key was used too often, from wherever.
    let mut granted = 0;
    let refused = loop {
        let answer = fixture.send(from(u8::try_from(2 + granted % 200).unwrap(), &key)).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        granted += 1;
        assert!(granted < 20 * EXCHANGES_PER_KEY_BURST);
    };
    assert!(granted >= EXCHANGES_PER_KEY_BURST, "{granted}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let other = fixture.admin.create_api_key("acme", "ci", None).await.unwrap().key;
    assert_eq!(fixture.send(from(250, &other)).await.status, StatusCode::OK);
}
