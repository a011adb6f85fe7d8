//! What the origin answers.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Shared, Upload, git, upgrade};
use crate::body::{Body, Digesting, Parts, body_of, empty, patterned, text};
use crate::pattern::Pattern;

/// Answers one request. What goes wrong here is told in the body, for the test that reads it.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let answer = route(shared, request).await.unwrap_or_else(|error| {
        let mut answer = Response::new(text(format!("{error:#}")));
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    });
    Ok(answer)
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let (first, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
    match first {
        "bytes" => bytes(&request, rest.parse()?),
        "chunked" => Ok(Response::new(patterned(seed(&request)?, rest.parse()?))),
        "upload" => upload(&shared, request).await,
        "echo-headers" => echo_headers(&request),
        "parts" | "sse" => parts(&shared, first == "sse").await,
        "status" => status(rest.parse()?),
        "redirect" => redirect(&request),
        "trailers" => trailers(),
        "hang" => std::future::pending().await,
        "websocket" => upgrade::websocket(&shared, request),
        "upgrade" => upgrade::echo(&shared, request),
        "git" => git::backend(&shared, request).await,
        "" => Ok(Response::new(text("hello"))),
        _ => status(404),
    }
}

fn redirect(request: &Request<Incoming>) -> Result<Response<Body>> {
    let host = request.headers().get(HOST).context("no host")?.to_str()?;
    let location = format!("http://{host}/there?a=b");
    Ok(Response::builder().status(StatusCode::FOUND).header(LOCATION, location).body(empty())?)
}

fn bytes(request: &Request<Incoming>, count: u64) -> Result<Response<Body>> {
    let body = if request.method() == Method::HEAD { empty() } else { patterned(seed(request)?, count) };
    Ok(Response::builder().header(CONTENT_LENGTH, count).body(body)?)
}

fn seed(request: &Request<Incoming>) -> Result<u64> {
    let query = request.uri().query().unwrap_or("seed=0");
    query.strip_prefix("seed=").context("no seed")?.parse().context("the seed is no number")
}

async fn upload(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>> {
    let before = shared.upload.borrow().before + 1;
    shared.upload.send_replace(Upload { before, ..Upload::default() });
    let mut pattern = request.uri().query().map(|_| seed(&request)).transpose()?.map(Pattern::new);
    let mut body = request.into_body();
    let mut digesting = Digesting::default();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            shared.upload.send_modify(|upload| upload.complete = Some(false));
            anyhow::bail!("the upload broke");
        };
        if let Some(data) = frame.data_ref() {
            digesting.update(data);
            shared.ledger.incoming(data.len());
            let differs = pattern.as_mut().is_some_and(|pattern| pattern.take(data.len()) != data);
            shared.upload.send_modify(|upload| {
                upload.bytes += data.len() as u64;
                upload.differs |= differs;
            });
        } else if let Ok(last) = frame.into_trailers() {
            trailers = last;
        }
    }
    shared.upload.send_modify(|upload| upload.complete = Some(true));
    let digest = digesting.finish();
    answer_json(&json!({ "bytes": digest.bytes, "sha256": digest.sha256, "trailers": pairs(&trailers) }))
}

fn echo_headers(request: &Request<Incoming>) -> Result<Response<Body>> {
    answer_json(&json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": pairs(request.headers()),
    }))
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(pair).collect()
}

fn answer_json(value: &Value) -> Result<Response<Body>> {
    Ok(Response::builder().header(CONTENT_TYPE, "application/json").body(text(value.to_string()))?)
}

async fn parts(shared: &Shared, events: bool) -> Result<Response<Body>> {
    let (parts, body) = Parts::channel();
    shared.parts.send(parts).await.ok().context("the test has ended")?;
    let kind = if events { "text/event-stream" } else { "application/octet-stream" };
    Ok(Response::builder().header(CONTENT_TYPE, kind).body(body)?)
}

fn status(status: u16) -> Result<Response<Body>> {
    let body = if matches!(status, 204 | 304) { empty() } else { text(format!("status {status}")) };
    let mut answer = Response::builder().status(status);
    if status == 304 {
        answer = answer.header("etag", "\"one\"").header(CONTENT_LENGTH, 1000);
    }
    // Only Adit itself may say these.
    Ok(answer.header("adit-error", "ADIT-9999").header("adit-request-id", "mine").body(body)?)
}

fn trailers() -> Result<Response<Body>> {
    let mut last = HeaderMap::new();
    last.insert("x-sum", HeaderValue::from_static("42"));
    let frames = [Ok(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(last))];
    Ok(Response::builder().header("trailer", "x-sum").body(body_of(stream::iter(frames)))?)
}
