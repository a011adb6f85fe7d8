//! One HTTP connection of a visitor.

use adit_process::tasks::{Task, Tasks};
use anyhow::{Context as _, Result, ensure};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::{Body, Digest, digest, empty};
use crate::limits::STEP_WITHIN;
use crate::wait::within;

/// An HTTP connection to an endpoint. Ends when it is dropped, whatever is still on its way.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    scheme: &'static str,
    authority: String,
    driver: Task<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    pub(crate) async fn http1<S>(stream: S, scheme: &'static str, authority: String) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // How it ends is told to whoever waits for an answer or a body.
        let driver =
            Tasks::new("visitor").spawn("http1", async move { drop(connection.with_upgrades().await) });
        Ok(Self { sender: Sender::Http1(sender), scheme, authority, driver })
    }

    pub(crate) async fn http2<S>(stream: S, authority: String) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let driver = Tasks::new("visitor").spawn("http2", async move { drop(connection.await) });
        Ok(Self { sender: Sender::Http2(sender), scheme: "https", authority, driver })
    }

    /// The version spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// A request for the endpoint. To be changed as a test likes.
    pub fn request(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>> {
        let mut request = Request::builder().method(method);
        request = match self.sender {
            Sender::Http1(_) => request.uri(path).header(HOST, HeaderValue::from_str(&self.authority)?),
            Sender::Http2(_) => {
                let path: PathAndQuery = path.parse()?;
                let uri = Uri::builder().scheme(self.scheme).authority(self.authority.as_str());
                request.uri(uri.path_and_query(path).build()?)
            }
        };
        Ok(request.body(body)?)
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>> {
        let what = format!("an answer to {} {}", request.method(), request.uri());
        let answer = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        within(&what, STEP_WITHIN, answer).await?.with_context(|| format!("no answer: {what}"))
    }

    /// Sends a request without waiting until the connection is free for it; several go at the same time. HTTP/2 only.
    pub fn stream(&self) -> Result<Self> {
        let Sender::Http2(sender) = &self.sender else { anyhow::bail!("HTTP/1.1 has no streams") };
        let driver = Tasks::new("visitor").spawn("stream", async {});
        let sender = Sender::Http2(sender.clone());
        Ok(Self { sender, scheme: self.scheme, authority: self.authority.clone(), driver })
    }

    /// Asks to change one stream to another protocol (RFC 8441). HTTP/2 only.
    pub async fn extended_connect(
        &mut self,
        path: &str,
        protocol: &'static str,
    ) -> Result<Response<Incoming>> {
        ensure!(self.version() == Version::HTTP_2, "HTTP/1.1 has no extended CONNECT");
        // With the first answer it is known whether the server offers it.
        drop(self.get("/").await?);
        let mut request = self.request(Method::CONNECT, path, empty())?;
        request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
        request.extensions_mut().insert(Protocol::from_static(protocol));
        self.send(request).await
    }

    /// GET, and the head of the answer.
    pub async fn get(&mut self, path: &str) -> Result<Response<Incoming>> {
        let request = self.request(Method::GET, path, empty())?;
        self.send(request).await
    }

    /// GET what must be there, and say what it is.
    pub async fn download(&mut self, path: &str) -> Result<Digest> {
        let answer = self.get(path).await?;
        ensure!(answer.status() == StatusCode::OK, "{} for {path}", answer.status());
        Ok(digest(answer.into_body()).await?.0)
    }

    /// POST to what answers with JSON, and the answer.
    pub async fn upload(&mut self, path: &str, body: Body) -> Result<Value> {
        let request = self.request(Method::POST, path, body)?;
        json(self.send(request).await?).await
    }

    /// GET what answers with JSON, under these headers, and the answer.
    pub async fn get_json(&mut self, path: &str, headers: HeaderMap) -> Result<Value> {
        let mut request = self.request(Method::GET, path, empty())?;
        request.headers_mut().extend(headers);
        json(self.send(request).await?).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn json(answer: Response<Incoming>) -> Result<Value> {
    let status = answer.status();
    let body = within("a small body", STEP_WITHIN, answer.into_body().collect()).await??.to_bytes();
    ensure!(status == StatusCode::OK, "{status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(|| format!("no JSON: {:?}", String::from_utf8_lossy(&body)))
}
