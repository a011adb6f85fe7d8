#![expect(clippy::unwrap_used, reason = "tests")]

use http::{HeaderMap, HeaderValue, Version};

use super::{accepted, requested};

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[test]
fn what_is_asked_for() {
    for (connection, upgrade, wanted) in [
        ("Upgrade", "websocket", Some("websocket")),
        ("keep-alive, UPGRADE", "WebSocket", Some("WebSocket")),
        ("upgrade", "h2c, websocket , custom/1", Some("websocket, custom/1")),
        ("upgrade", "h2c", None),
        ("upgrade", "H2C", None),
        ("upgrade", "HTTP/2.0", None),
        ("upgrade", "", None),
        ("keep-alive", "websocket", None),
        ("", "websocket", None),
    ] {
        let headers = headers(&[("connection", connection), ("upgrade", upgrade)]);
        let got = requested(&headers, Version::HTTP_11);
        assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), wanted, "{connection:?} {upgrade:?}");
    }
    let asks = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert_eq!(requested(&asks, Version::HTTP_10), None);
    assert_eq!(requested(&asks, Version::HTTP_2), None);
}

#[test]
fn what_is_accepted() {
    let asked = HeaderValue::from_static("websocket, custom/1");
    for (chosen, wanted) in [("websocket", true), ("CUSTOM/1", true), ("custom/2", false), ("", false)] {
        assert_eq!(accepted(&asked, &headers(&[("upgrade", chosen)])), wanted, "{chosen:?}");
    }
    assert!(!accepted(&asked, &HeaderMap::new()));
}
