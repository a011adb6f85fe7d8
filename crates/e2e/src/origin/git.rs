//! `git http-backend` as a CGI program (RFC 3875).

use std::io;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Shared;
use crate::body::{Body, body_of};

const BUFFER_BYTES: usize = 32 * 1024;

/// Hands the request to `git http-backend` and its output back, both streamed.
pub(super) async fn backend(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>> {
    let mut child = command(shared, &request)?.spawn().context("git does not start")?;
    let input = child.stdin.take().context("no input")?;
    let mut output = BufReader::new(child.stdout.take().context("no output")?);
    shared.tasks.spawn("git input", feed(input, request.into_body()));
    let mut answer = Response::builder();
    loop {
        let mut line = String::new();
        output.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "Status" => answer = answer.status(value.split(' ').next().unwrap_or_default()),
            _ => answer = answer.header(name, value),
        }
    }
    Ok(answer.body(body_of(stream::try_unfold((child, output), next)))?)
}

fn command(shared: &Shared, request: &Request<Incoming>) -> Result<Command> {
    let headers = request.headers();
    let path = request.uri().path().strip_prefix("/git").context("no repository")?;
    let mut command = Command::new("git");
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
        .env("GIT_PROJECT_ROOT", shared.repositories.path())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "visitor")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", request.uri().query().unwrap_or_default());
    for (variable, value) in [
        ("CONTENT_TYPE", header(headers, CONTENT_TYPE.as_str())),
        ("CONTENT_LENGTH", header(headers, CONTENT_LENGTH.as_str())),
        ("HTTP_CONTENT_ENCODING", header(headers, CONTENT_ENCODING.as_str())),
        ("GIT_PROTOCOL", header(headers, "git-protocol")),
    ] {
        command.envs(value.map(|value| (variable, value)));
    }
    Ok(command)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn feed(mut input: ChildStdin, mut body: Incoming) -> Result<()> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            input.write_all(&data).await?;
        }
    }
    Ok(input.shutdown().await?)
}

type Running = (Child, BufReader<ChildStdout>);

async fn next((mut child, mut output): Running) -> io::Result<Option<(Frame<Bytes>, Running)>> {
    let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
    if output.read_buf(&mut buffer).await? > 0 {
        return Ok(Some((Frame::data(buffer.freeze()), (child, output))));
    }
    let status = child.wait().await?;
    if status.success() { Ok(None) } else { Err(io::Error::other(format!("git http-backend: {status}"))) }
}
