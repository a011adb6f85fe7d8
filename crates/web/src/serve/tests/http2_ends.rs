//! What ends a visitor's body over HTTP/2: its stream's end, and nothing else.

use std::convert::Infallible;

use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tower::service_fn;

use super::frames::{frame, open};
use super::http2::serve;
use crate::body::{self, BodyError};
use crate::service::boxed;

const RST_STREAM: u8 = 3;

/// A POST that has begun (RFC 7541 appendix A).
fn begun() -> Vec<u8> {
    frame(1, 0x4, 1, b"\x83\x87\x84\x41\x09a.example")
}

/// What comes of the body of a request that has begun and goes on with these frames.
async fn body_of(frames: &[Vec<u8>]) -> Result<Vec<u8>, BodyError> {
    let (seen, mut see) = mpsc::channel(1);
    let service = boxed(service_fn(move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let came_in = request.version();
            assert_eq!(came_in, Version::HTTP_2);
            let body = body::from_visitor(request.into_body(), came_in).collect().await;
            seen.send(body.map(|body| body.to_bytes().to_vec())).await.unwrap();
            Ok::<_, Infallible>(Response::new(body::empty()))
        }
    }));
    let (mut io, _served) = serve(service);
    open(&mut io).await;
    io.write_all(&[&[begun()], frames].concat().concat()).await.unwrap();
    see.recv().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_with_its_stream() {
    let frames = [frame(0, 0, 1, b"who"), frame(0, 0x1, 1, b"le")];
    assert_eq!(body_of(&frames).await.unwrap(), b"whole");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_given_up_without_an_error_is_cut() {
    let (part, reset) = (frame(0, 0, 1, b"part"), frame(RST_STREAM, 0, 1, &[0; 4]));
    let body = body_of(&[part, reset]).await;
    assert!(matches!(body, Err(BodyError::Visitor(_))), "{body:?}");
}
