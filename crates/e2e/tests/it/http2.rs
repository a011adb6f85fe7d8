//! Visitors that speak HTTP/2.

use adit_e2e::{Connection, Digest, RawFrame, RawHttp2, Scene, patterned};
use anyhow::Result;
use futures::future::try_join_all;
use http::{HeaderMap, Version};

const STREAMS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_connection_run_at_the_same_time() -> Result<()> {
    let scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    // This one does not end, and the others do not wait for it.
    let open = connection.get("/sse").await?;
    assert_eq!(open.version(), Version::HTTP_2);
    let parts = scene.origin.parts().await?;
    let streams: Vec<Connection> = (1..STREAMS).map(|_| connection.stream()).collect::<Result<_>>()?;
    let exchanges = (0..).zip(streams).map(|(seed, mut stream)| async move {
        assert_eq!(
            stream.download(&format!("/bytes/50000?seed={seed}")).await?,
            Digest::of_pattern(seed, 50_000)
        );
        let answer = stream.upload("/upload", patterned(seed, 50_000)).await?;
        assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(seed, 50_000));
        anyhow::Ok(())
    });
    try_join_all(exchanges).await?;
    parts.send("the end").await?;
    drop(parts);
    assert_eq!(adit_e2e::digest(open.into_body()).await?.0.bytes, 7);
    Ok(())
}

#[tokio::test]
async fn the_upstream_sees_http_1_1_with_a_host() -> Result<()> {
    let scene = Scene::start().await?;
    let seen = scene.visitor.http2().await?.get_json("/echo-headers?a=1&b", HeaderMap::new()).await?;
    assert_eq!(seen["version"], "HTTP/1.1");
    assert_eq!(seen["target"], "/echo-headers?a=1&b");
    let headers: Vec<(String, String)> = serde_json::from_value(seen["headers"].clone())?;
    let hosts: Vec<_> = headers.iter().filter(|(name, _)| name == "host").map(|(_, value)| value).collect();
    assert_eq!(hosts, [&scene.visitor.https_authority()]);
    Ok(())
}

#[tokio::test]
async fn crumbs_of_cookies_are_put_together() -> Result<()> {
    let scene = Scene::start().await?;
    let mut headers = HeaderMap::new();
    for crumb in ["a=1", "b=2"] {
        headers.append("cookie", http::HeaderValue::from_static(crumb));
    }
    let seen = scene.visitor.http2().await?.get_json("/echo-headers", headers).await?;
    let headers: Vec<(String, String)> = serde_json::from_value(seen["headers"].clone())?;
    let cookies: Vec<_> =
        headers.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value).collect();
    assert_eq!(cookies, ["a=1; b=2"]);
    Ok(())
}

#[tokio::test]
async fn a_stream_given_up_does_not_hurt_its_connection() -> Result<()> {
    let scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    for _ in 0..10 {
        drop(connection.get("/bytes/5000000?seed=1").await?);
        drop(connection.get("/sse").await?);
    }
    assert_eq!(connection.download("/bytes/100000?seed=3").await?, Digest::of_pattern(3, 100_000));
    Ok(())
}

/// Through TLS and the reset that follows.
#[tokio::test]
async fn who_floods_is_told_to_be_calm() -> Result<()> {
    let scene = Scene::start().await?;
    let mut visitor = RawHttp2::open(&scene.visitor).await?;
    while visitor.send(RawFrame::SETTINGS, 0, 0, &[]).await.is_ok() {}
    let told = loop {
        let frame = visitor.next().await?;
        if frame.kind == RawFrame::GOAWAY {
            break frame;
        }
    };
    assert_eq!(told.body, [0, 0, 0, 0, 0, 0, 0, 0xb]);
    assert!(visitor.next().await.is_err());
    Ok(())
}
