//! The parts together: a visitor over TCP, a service that relays as a node does, an upstream that speaks raw
//! bytes and keeps what it was sent.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "relay/corpus.rs"]
mod corpus;
#[path = "relay/http1.rs"]
mod http1;
#[path = "relay/http2.rs"]
mod http2;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_web::client::{handshake, send};
use adit_web::hygiene::{self, Forwarded, Scheme};
use adit_web::limits::{ClientLimits, ServeLimits};
use adit_web::{Body, HttpService, RequestAuthority, answer, body, serve, service};
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long a body may pause.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the upstream was sent, one text per connection.
type Sent = mpsc::Receiver<String>;

/// An upstream that reads until what it got ends with `until`, answers with `answer` and hangs up.
async fn upstream(until: &'static str, answer: &'static str) -> (SocketAddr, Sent) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, was_sent) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            while !text.ends_with(until) {
                match io.read_u8().await {
                    Ok(byte) => text.push(char::from(byte)),
                    Err(_) => break,
                }
            }
            io.write_all(answer.as_bytes()).await.unwrap();
            sent.send(text).await.unwrap();
        }
    });
    (address, was_sent)
}

/// A service that relays each request to `upstream` on a connection of its own.
fn relay(upstream: SocketAddr) -> HttpService {
    service::boxed(tower::service_fn(move |request: Request<Incoming>| async move {
        Ok::<_, Infallible>(relayed(request, upstream).await)
    }))
}

async fn relayed(request: Request<Incoming>, upstream: SocketAddr) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let (id, headers, came_in) = (RequestId::new(), parts.headers.clone(), parts.version);
    let authority = match RequestAuthority::of(&parts) {
        Ok(authority) => authority,
        Err(reject) => return answer::refuse(reject, id, parts.version, &headers),
    };
    let body = body::IdleTimeout::new(body::from_visitor(incoming, came_in), PATIENCE).boxed_unsync();
    let mut request = Request::from_parts(parts, body);
    let forwarded = Forwarded { visitor: IpAddr::V4(Ipv4Addr::LOCALHOST), scheme: Scheme::Http, authority };
    let asked = hygiene::request(&mut request, &forwarded);
    let io = TcpStream::connect(upstream).await.unwrap();
    let mut sender = handshake(io, ClientLimits::default()).await.unwrap();
    tokio::spawn(sender.detach().unwrap());
    let Ok(mut response) = send(&mut sender, request, ClientLimits::default()).await else {
        return answer::answer(Code::UpstreamBroken, id, &headers);
    };
    match hygiene::response(&mut response, asked.as_ref()) {
        Ok(()) => response.map(|incoming| {
            // The connection lives as long as its sender.
            let held = move |frame| {
                let _ = &sender;
                frame
            };
            body::from_upstream(incoming, Version::HTTP_11).map_frame(held).boxed_unsync()
        }),
        Err(_) => answer::answer(Code::UpstreamBroken, id, &headers),
    }
}

/// A node with one port for HTTP/1 and one for HTTP/2.
async fn node(service: HttpService) -> (SocketAddr, SocketAddr) {
    let h1 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let h2 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addresses = (h1.local_addr().unwrap(), h2.local_addr().unwrap());
    let limits = ServeLimits::default();
    tokio::spawn(async move {
        let spawn = |work: serve::Work| drop(tokio::spawn(work));
        loop {
            tokio::select! {
                accepted = h1.accept() => {
                    let (io, _) = accepted.unwrap();
                    tokio::spawn(serve::http1(io, service.clone(), limits, std::future::pending()));
                }
                accepted = h2.accept() => {
                    let (io, _) = accepted.unwrap();
                    tokio::spawn(serve::http2(io, service.clone(), spawn, limits, std::future::pending()));
                }
            }
        }
    });
    addresses
}

/// Everything that comes back on one HTTP/1 connection until it is closed.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut io = TcpStream::connect(address).await.unwrap();
    io.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}
