//! What ends a body over HTTP/2: its stream's end, and nothing else.

use http::{Request, Version};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use super::super::send;
use super::floods::{OK, SETTINGS, asked, connected, frame};
use crate::body::{self, BodyError};
use crate::limits::ClientLimits;

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const NO_ERROR: &[u8] = &[0; 4];

/// What comes of a body of which the upstream sends these frames, and then hangs up.
async fn body_of(frames: &[Vec<u8>]) -> Result<Vec<u8>, BodyError> {
    let (mut sender, mut upstream) = connected().await;
    let frames = [&[SETTINGS.to_vec(), frame(1, 0x4, 1, OK)], frames].concat().concat();
    let answering = async {
        asked(&mut upstream).await;
        upstream.write_all(&frames).await.unwrap();
    };
    let request = Request::get("/").header("host", "a.example").body(body::empty()).unwrap();
    let (response, ()) = tokio::join!(send(&mut sender, request, ClientLimits::default()), answering);
    let response = response.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let body = body::from_upstream(response.into_body(), Version::HTTP_2);
    let hanging_up = async {
        upstream.shutdown().await.unwrap();
    };
    let (body, ()) = tokio::join!(body.collect(), hanging_up);
    body.map(|body| body.to_bytes().to_vec())
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_with_its_stream() {
    let reset = frame(RST_STREAM, 0, 1, NO_ERROR);
    let whole = frame(DATA, 0x1, 1, b"whole");
    for frames in [vec![whole.clone()], vec![frame(DATA, 0, 1, b"who"), frame(DATA, 0x1, 1, b"le"), reset]] {
        assert_eq!(body_of(&frames).await.unwrap(), b"whole", "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_given_up_without_an_error_is_cut() {
    let part = frame(DATA, 0, 1, b"part");
    let reset = frame(RST_STREAM, 0, 1, NO_ERROR);
    let leaves = frame(GOAWAY, 0, 0, &[NO_ERROR, NO_ERROR].concat());
    for frames in [vec![part.clone(), reset.clone()], vec![reset], vec![part.clone(), leaves], vec![part]] {
        let body = body_of(&frames).await;
        assert!(matches!(body, Err(BodyError::Upstream(_))), "{frames:?}: {body:?}");
    }
}
