//! The ways to say where an upstream is.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use adit_e2e::{Home, Origin, RawOrigin, SelfSigned, Stack, Visitor};
use anyhow::Result;
use tokio::net::TcpStream;

#[tokio::test]
async fn every_form_finds_its_upstream() -> Result<()> {
    let origin = Origin::start().await?;
    let port = origin.port();
    let forms = [
        port.clone(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}/"),
    ];
    assert_served(&origin, &forms).await
}

#[tokio::test]
async fn localhost_is_both_of_its_addresses() -> Result<()> {
    for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
        let origin = Origin::start_at(address).await?;
        let port = origin.port();
        let literal = format!("http://{}", origin.address());
        assert_served(&origin, &[port.clone(), format!("localhost:{port}"), literal]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_with_tls_of_its_own() -> Result<()> {
    let origin = Origin::start().await?;
    let address = origin.address();
    let acceptor = SelfSigned::new("localhost")?.acceptor(&[]);
    let tls = RawOrigin::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut inward = acceptor.accept(stream).await?;
            let mut outward = TcpStream::connect(address).await?;
            tokio::io::copy_bidirectional(&mut inward, &mut outward).await?;
            Ok(())
        }
    })
    .await?;
    // On this computer a certificate proves nothing more than the port does.
    assert_served(&origin, &[format!("https://localhost:{}", tls.port())]).await
}

/// An agent for each form, one after the other under the same name.
async fn assert_served(origin: &Origin, forms: &[String]) -> Result<()> {
    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    for (requests, form) in (1..).zip(forms) {
        let mut agent = home.http(form, Some("demo"))?;
        let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
        let status = visitor.https().await?.get("/").await?.status();
        assert_eq!((status.as_u16(), origin.requests()), (200, requests), "{form}");
    }
    Ok(())
}
