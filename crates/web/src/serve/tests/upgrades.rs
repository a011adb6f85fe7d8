use std::convert::Infallible;

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::service_fn;

use super::Visitor;
use crate::service::{HttpService, boxed};
use crate::{body, upgrade};

/// Changes to a protocol that sends back each byte plus one.
fn changing() -> HttpService {
    boxed(service_fn(|mut request: Request<Incoming>| async move {
        let Some(asked) = upgrade::requested(request.headers(), request.version()) else {
            return Ok::<_, Infallible>(Response::new(body::full("no|")));
        };
        let on = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut raw = TokioIo::new(on.await.unwrap());
            while let Ok(byte) = raw.read_u8().await {
                raw.write_u8(byte + 1).await.unwrap();
            }
        });
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert("upgrade", asked);
        Ok(response)
    }))
}

#[tokio::test(start_paused = true)]
async fn bytes_flow_raw_after_the_change_and_the_serving_future_is_done() {
    let mut visitor = Visitor::of_http1(changing());
    visitor
        .send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: shift/1\r\n\r\nABC")
        .await;
    let head = visitor.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("upgrade: shift/1"), "{head}");
    visitor.until("BCD").await;
    visitor.send("Content-Length: 1\r\n\r\n").await;
    visitor.until("Dpoufou.Mfohui;!2\x0e\x0b\x0e\x0b").await;
    (&mut visitor.served).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn http2_is_not_entered_by_upgrade() {
    let mut visitor = Visitor::of_http1(changing());
    visitor
        .send(
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        )
        .await;
    let response = visitor.until("|").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}
