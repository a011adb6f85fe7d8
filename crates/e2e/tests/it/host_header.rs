//! Which host the upstream is told.

use adit_e2e::{Home, Origin, Stack, Visitor};
use anyhow::{Context as _, Result};
use http::HeaderMap;

#[tokio::test]
async fn the_upstream_sees_the_host_that_its_agent_wants() -> Result<()> {
    let origin = Origin::start().await?;
    let (port, own) = (origin.port(), format!("localhost:{}", origin.port()));
    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    let cases: [(&[&str], Option<&str>); 4] = [
        (&[], None),
        (&["--host-header", "preserve"], None),
        (&["--host-header", "rewrite"], Some(&own)),
        (&["--host-header", "app.internal:81"], Some("app.internal:81")),
    ];
    for (more, wanted) in cases {
        let mut agent = home.adit(&[&["http", &port, "--json", "--url", "demo"], more].concat())?;
        let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
        for mut connection in visitor.each().await? {
            let version = connection.version();
            let public = if connection.scheme() == "http" {
                visitor.http_authority()
            } else {
                visitor.https_authority()
            };
            let seen = connection.get_json("/echo-headers", HeaderMap::new()).await?;
            let headers: Vec<(String, String)> = serde_json::from_value(seen["headers"].clone())?;
            let values = |wanted: &str| {
                headers
                    .iter()
                    .filter(|(name, _)| name == wanted)
                    .map(|(_, value)| value.as_str())
                    .collect::<Vec<_>>()
            };
            assert_eq!(values("host"), [wanted.unwrap_or(&public)], "{more:?} over {version:?}");
            assert_eq!(values("x-forwarded-host"), [&public], "{more:?} over {version:?}");
            // A redirect to itself leads back to where the visitor is.
            let response = connection.get("/redirect").await?;
            let location = response.headers().get("location").context("no location")?.to_str()?;
            let wanted = match wanted {
                None => format!("http://{public}/there?a=b"),
                Some(_) => format!("{}://{public}/there?a=b", connection.scheme()),
            };
            assert_eq!(location, wanted, "{more:?} over {version:?}");
        }
    }
    Ok(())
}
