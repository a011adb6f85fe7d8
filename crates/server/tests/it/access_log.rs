//! Each request leaves one record, when it has ended, if somebody wants to have it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_domain::id::TenantId;
use adit_mux::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::upstream::{self, Reply};
use crate::support::visitor::Visitor;

const HOST: &str = "one.localhost";
const ON: &str = "info,adit::access=debug";

/// What is logged on this thread, on which a test's tasks are.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn start(filter: &str) -> (Self, DefaultGuard) {
        let log = Self::default();
        let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_ansi(false);
        let guard = tracing::subscriber::set_default(lines.with_writer(log.clone()).finish());
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn now(&self) -> Vec<Record> {
        let text = self.text();
        text.lines()
            .filter(|line| line.contains("adit::access"))
            .map(|line| Record(line.to_owned()))
            .collect()
    }

    /// The records, when there are so many.
    async fn records(&self, count: usize) -> Vec<Record> {
        let written = async {
            while self.now().len() < count {
                yield_now().await;
            }
        };
        timeout(Duration::from_mins(1), written).await.expect("a record of each request");
        let records = self.now();
        assert_eq!(records.len(), count, "{}", self.text());
        records
    }
}

struct Record(String);

impl Record {
    fn get(&self, field: &str) -> Option<&str> {
        let mut fields = self.0.split(' ').filter_map(|word| word.split_once('='));
        fields.find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    /// These fields have these values; one without a value is not there.
    fn says(&self, fields: &[(&str, &str)]) {
        for (field, value) in fields {
            assert_eq!(self.get(field).unwrap_or_default(), *value, "{field} in {}", self.0);
        }
    }
}

fn ok(length: usize, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

async fn bound(node: &TestNode, tenant: TenantId) -> TestAgent {
    let mut agent = TestAgent::connect(node, &Identity::of(node, tenant)).await;
    agent.bind(HOST).await;
    agent
}

/// A node with one endpoint of `tenant`, whose upstream answers by `reply`.
async fn endpoint<R>(tenant: TenantId, reply: R) -> TestNode
where
    R: Fn(usize, usize, &str) -> Reply + Clone + Send + 'static,
{
    let node = TestNode::start();
    let agent = bound(&node, tenant).await;
    drop(upstream::serve(agent.incoming, reply));
    std::mem::forget(agent.control);
    node
}

#[tokio::test]
async fn a_served_request_leaves_what_it_was_and_no_secrets() {
    let (log, _guard) = Log::start(ON);
    let tenant = TenantId::new();
    let node = endpoint(tenant, |_, _, _| Reply::Bytes(ok(5, "hello"))).await;
    let mut visitor = Visitor::connect(node.http).await;
    let ask = "GET /a/b?token=canary HTTP/1.1\r\nhost: one.localhost\r\nauthorization: canary\r\ncookie: c=canary\r\n\r\n";
    let mut ids = Vec::new();
    for _ in 0..2 {
        visitor.send(ask).await;
        ids.push(visitor.response().await.header("adit-request-id").unwrap().to_owned());
    }
    let records = log.records(2).await;
    let tenant = tenant.to_string();
    for (record, id) in records.iter().zip(&ids) {
        record.says(&[
            ("id", id),
            ("kind", "http"),
            ("tenant", &tenant),
            ("hostname", HOST),
            ("method", "GET"),
            ("path", "/a/b"),
            ("outcome", "served"),
            ("status", "200"),
            ("code", ""),
            ("by", ""),
            ("in_bytes", "0"),
            ("out_bytes", "5"),
            ("tries", "1"),
            // The second is sent over the connection that the first has left.
            ("stream", &ids[0]),
        ]);
        let micros = |field| record.get(field).unwrap().parse::<u64>().unwrap();
        assert!(micros("head_us") <= micros("total_us"), "{}", record.0);
        assert!(record.get("came").unwrap().ends_with('Z') && record.get("visitor").is_some());
    }
    assert!(!log.text().contains("canary"), "{}", log.text());
}

#[tokio::test]
async fn what_was_uploaded_and_sent_again_is_told() {
    let (log, _guard) = Log::start(ON);
    let lost_once = |stream: usize, _: usize, _: &str| match stream {
        0 => Reply::Cut,
        _ => Reply::BytesThenEnd(ok(2, "ok")),
    };
    let node = endpoint(TenantId::new(), lost_once).await;
    let mut visitor = Visitor::connect(node.http).await;
    assert_eq!(visitor.get(HOST, "/").await.status(), 200);
    let request = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 6\r\n\r\nupload");
    visitor.send(&request).await;
    assert_eq!(visitor.response().await.status(), 200);
    let records = log.records(2).await;
    records[0].says(&[("outcome", "served"), ("tries", "2"), ("in_bytes", "0")]);
    records[1].says(&[("outcome", "served"), ("tries", "1"), ("in_bytes", "6"), ("method", "POST")]);
}

#[tokio::test]
async fn who_is_refused_leaves_the_code() {
    let (log, _guard) = Log::start(ON);
    let node = endpoint(TenantId::new(), |_, _, _| Reply::End).await;
    assert_eq!(Visitor::connect(node.http).await.get("two.localhost", "/").await.status(), 404);
    let unknown = log.records(1).await.remove(0);
    unknown.says(&[("hostname", "two.localhost"), ("outcome", "refused"), ("status", "404"), ("tenant", "")]);
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send("GET / HTTP/1.1\r\nhost: one.localhost\r\nhost: two.localhost\r\n\r\n").await;
    let answer = visitor.response().await;
    let twofold = log.records(2).await.remove(1);
    twofold.says(&[("hostname", ""), ("outcome", "refused"), ("status", "400")]);
    assert_eq!(twofold.get("code"), answer.header("adit-error"));
    assert!(unknown.get("code").is_some_and(|code| code.starts_with("ADIT-")), "{}", unknown.0);
}

#[tokio::test]
async fn what_was_cut_says_by_whom() {
    for (reply, by) in [(Reply::Cut, "agent"), (Reply::End, "upstream")] {
        let (log, _guard) = Log::start(ON);
        let node = TestNode::start();
        let mut agent = bound(&node, TenantId::new()).await;
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        let mut stream = agent.incoming.next().await.unwrap().stream;
        stream.send_answer(Answer::Dialled).await.unwrap();
        stream.write_all(&ok(100, "half")).await.unwrap();
        stream.flush().await.unwrap();
        match reply {
            Reply::End => stream.shutdown().await.unwrap(),
            _ => drop(stream),
        }
        let record = log.records(1).await.remove(0);
        record.says(&[("outcome", "cut"), ("by", by), ("status", "200"), ("out_bytes", "4"), ("code", "")]);
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_and_a_node_that_ends_cut_too() {
    for by in ["visitor", "node"] {
        let (log, _guard) = Log::start(ON);
        let node = TestNode::start();
        let mut agent = bound(&node, TenantId::new()).await;
        let mut visitor = Visitor::connect_to_reset(node.http).await;
        visitor.send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        let _stream = agent.incoming.next().await.unwrap();
        match by {
            "node" => node.trigger.stop(),
            _ => drop(visitor),
        }
        log.records(1).await[0].says(&[("outcome", "cut"), ("by", by), ("status", ""), ("out_bytes", "0")]);
    }
}

#[tokio::test]
async fn an_upgraded_connection_leaves_one_record_at_its_end() {
    let (log, _guard) = Log::start(ON);
    let node = TestNode::start();
    let mut agent = bound(&node, TenantId::new()).await;
    let mut visitor = Visitor::connect(node.http).await;
    visitor
        .send(
            "GET /chat HTTP/1.1\r\nhost: one.localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let mut stream = agent.incoming.next().await.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    while stream.read_u8().await.unwrap() != b'=' {}
    let mut rest = [0; 5];
    stream.read_exact(&mut rest).await.unwrap();
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom the service";
    stream.write_all(switched.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(visitor.response().await.status(), 101);
    visitor.send("said").await;
    while stream.read_u8().await.unwrap() != b'd' {}
    assert!(log.now().is_empty(), "it goes on");
    stream.shutdown().await.unwrap();
    drop(visitor);
    log.records(1).await[0].says(&[
        ("path", "/chat"),
        ("status", "101"),
        ("in_bytes", "4"),
        ("out_bytes", "16"),
        ("kind", "http"),
        ("tries", "1"),
    ]);
}

#[tokio::test]
async fn a_path_cannot_forge_a_line() {
    let (log, _guard) = Log::start(ON);
    let node = endpoint(TenantId::new(), |_, _, _| Reply::Bytes(ok(0, ""))).await;
    let mut visitor = Visitor::connect(node.http).await;
    for path in
        ["/\u{85}2026-01-01T00:00:00Z\u{2028}DEBUG\u{a0}adit::access:\"status=404\u{202e}", "/status=404"]
    {
        visitor.get(HOST, path).await;
    }
    let records = log.records(2).await;
    assert_eq!(log.text().lines().filter(|line| line.contains(" adit::access: ")).count(), 2);
    assert!(log.text().is_ascii(), "{}", log.text());
    records[0].says(&[(
        "path",
        "/%C2%852026-01-01T00:00:00Z%E2%80%A8DEBUG%C2%A0adit::access:%22status=404%E2%80%AE",
    )]);
    for record in records {
        record.says(&[("status", "200"), ("outcome", "served")]);
    }
}

#[tokio::test]
async fn nobody_is_told_who_does_not_ask() {
    let (log, _guard) = Log::start("info");
    let node = endpoint(TenantId::new(), |_, _, _| Reply::Bytes(ok(0, ""))).await;
    let mut visitor = Visitor::connect(node.http).await;
    assert_eq!(visitor.get(HOST, "/").await.status(), 200);
    assert_eq!(visitor.get("two.localhost", "/").await.status(), 404);
    drop(visitor);
    node.trigger.drain();
    node.running.await.unwrap().unwrap();
    assert!(!log.text().contains("adit::access"), "{}", log.text());
    assert!(log.text().contains("agent connected"), "what else is logged: {}", log.text());
}
