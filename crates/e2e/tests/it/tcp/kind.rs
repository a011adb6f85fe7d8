//! A name that was removed comes back as another kind of endpoint.

use adit_e2e::{EVENT_WITHIN, Origin, RawOrigin, Visitor, until};
use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{Place, address};

/// Its port is still open when the web service takes the name, and bytes from there must not reach that.
#[tokio::test]
async fn a_port_does_not_outlive_the_kind_that_had_it() -> Result<()> {
    let place = Place::start().await?;
    let (raw, web) = (RawOrigin::echo().await?, Origin::start().await?);
    let mut before = place.tcp(&raw.port(), &["--url", "shop"])?;
    let at = address(&before.url().await?)?;
    let listed: Vec<Value> = place.stack.admin(&["endpoint", "list"]).await?;
    let name = listed.first().and_then(|endpoint| endpoint["hostname"].as_str()).context("no endpoint")?;
    let opens = async || TcpStream::connect(at).await.is_ok();
    until("the port is open", EVENT_WITHIN, opens).await?;

    place.stack.admin_silent(&["endpoint", "remove", name]).await?;
    let mut after = place.home.http(&web.port(), Some("shop"))?;
    let visitor = Visitor::new(&place.stack, &after.hostname().await?)?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), StatusCode::OK);
    until("the port is closed", EVENT_WITHIN, async || !opens().await).await?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), StatusCode::OK);
    Ok(())
}
