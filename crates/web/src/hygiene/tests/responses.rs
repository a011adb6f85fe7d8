use http::{HeaderValue, Response, StatusCode, Version};

use super::super::{ResponseFault, response};
use super::texts;

fn of(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut builder = Response::builder().status(status).version(Version::HTTP_10);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

#[test]
fn what_is_the_upstreams_own_or_ours_does_not_arrive() {
    let dropped = [
        ("connection", "close, x-secret"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2,h2c"),
        ("te", "trailers"),
        ("adit-error", "ADIT-2001"),
        ("adit_error", "ADIT-2001"),
        ("Adit-Request-Id", "1"),
        ("content_length", "3"),
    ];
    let kept =
        [("content-type", "text/plain"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("trailer", "x-sum")];
    let mut message = of(200, &[dropped.as_slice(), kept.as_slice()].concat());
    response(&mut message, None).unwrap();
    assert_eq!(message.headers().len(), kept.len(), "{:?}", message.headers());
    assert_eq!(texts(message.headers(), "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(message.version(), Version::HTTP_11);
}

#[test]
fn an_ambiguous_length_is_a_fault() {
    for fields in [
        &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
        &[("content-length", "3"), ("content-length", "3")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "gzip")],
        &[("transfer-encoding", "gzip, chunked")],
    ] {
        let got = response(&mut of(200, fields), None);
        assert_eq!(got, Err(ResponseFault::FramingAmbiguous), "{fields:?}");
    }
}

#[test]
fn a_length_that_its_status_forbids_is_dropped() {
    for (status, wanted) in [(200, 1), (204, 0), (304, 1)] {
        let mut message = of(status, &[("content-length", "0")]);
        response(&mut message, None).unwrap();
        assert_eq!(message.headers().len(), wanted, "{status}");
    }
}

#[test]
fn only_what_was_asked_for_is_changed_to() {
    let asked = HeaderValue::from_static("websocket");
    let change = |upgrade: &[(&str, &str)], asked| {
        let mut message = of(101, upgrade);
        response(&mut message, asked).map(|()| message)
    };
    let good = change(&[("connection", "Upgrade"), ("upgrade", "WebSocket")], Some(&asked)).unwrap();
    assert_eq!(good.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(texts(good.headers(), "connection"), ["upgrade"]);
    assert_eq!(texts(good.headers(), "upgrade"), ["WebSocket"]);
    for (fields, asked) in [
        (&[("upgrade", "websocket")][..], None),
        (&[("upgrade", "h2c")], Some(&asked)),
        (&[("upgrade", "websocket, h2c")], Some(&asked)),
        (&[("upgrade", "")], Some(&asked)),
        (&[], Some(&asked)),
    ] {
        assert_eq!(change(fields, asked).err(), Some(ResponseFault::UpgradeUnasked), "{fields:?}");
    }
}
