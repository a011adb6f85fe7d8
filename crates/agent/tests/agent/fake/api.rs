//! The API: one path, one answer at a time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adit_api::capability::{CapabilityRequest, CapabilityResponse, NodeAddress, PATH};
use adit_api::{Code, Problem};
use adit_net::connection::Connection;
use adit_net::tls::accept;
use adit_process::tasks::Tasks;
use adit_wire::capability::AgentPublicKey;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::time::Instant;

use super::{Entrance, PATIENCE, Script};

/// What the API says once, instead of yes.
#[derive(Clone, Debug)]
pub enum ApiAnswer {
    /// No, as Adit says it, with the seconds to wait at least.
    Problem(Code, Option<u32>),
    /// Something that is not Adit's.
    Foreign(u16),
    /// Yes, in so many bytes.
    Padded(usize),
}

/// What the API was asked.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub authorization: String,
    pub request: CapabilityRequest,
}

pub async fn serve(entrance: Arc<Entrance>, tls: Arc<ServerConfig>, script: Arc<Script>, tasks: Tasks) {
    loop {
        let stream = entrance.accept().await;
        drop(tasks.spawn("api connection", connection(stream, Arc::clone(&tls), Arc::clone(&script))));
    }
}

async fn connection(stream: Box<dyn Connection>, tls: Arc<ServerConfig>, script: Arc<Script>) {
    // Agents that do not trust us hang up here.
    let Ok(stream) = accept(tls, stream, Instant::now() + PATIENCE).await else { return };
    let service = service_fn(|request| answer(request, Arc::clone(&script)));
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", PATH));
    let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let request: CapabilityRequest = serde_json::from_slice(&body).unwrap();
    let scripted = script.answers.lock().unwrap().pop_front();
    let response = match scripted {
        None => yes(&request, &script, 0),
        Some(ApiAnswer::Padded(bytes)) => yes(&request, &script, bytes),
        Some(ApiAnswer::Foreign(status)) => {
            Response::builder().status(status).body(Full::from("<html>")).unwrap()
        }
        Some(ApiAnswer::Problem(code, retry_after)) => no(code, retry_after),
    };
    script.exchanges.lock().unwrap().push(Exchange { authorization, request });
    Ok(response)
}

fn yes(request: &CapabilityRequest, script: &Script, bytes_min: usize) -> Response<Full<Bytes>> {
    let agent = AgentPublicKey::from_hex(&request.agent_public_key).unwrap();
    let lifetime: Duration = *script.lifetime.lock().unwrap();
    let body = CapabilityResponse {
        capability: script.mint(agent, lifetime).to_hex(),
        expires_in: lifetime.as_secs(),
        nodes: vec![NodeAddress {
            host: "127.0.0.1".to_owned(),
            port: script.node_port,
            sni: "localhost".to_owned(),
        }],
        trust_roots: Vec::new(),
    };
    let mut text = serde_json::to_vec(&body).unwrap();
    text.resize(text.len().max(bytes_min), b' ');
    Response::new(Full::from(text))
}

fn no(code: Code, retry_after: Option<u32>) -> Response<Full<Bytes>> {
    let mut response =
        Response::builder().status(code.status()).header("content-type", "application/problem+json");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(Full::from(serde_json::to_vec(&Problem::new(code)).unwrap())).unwrap()
}
