//! Endpoints of kind udp: a public port whose datagrams arrive at the upstream as they are, and its answers back.

use std::time::{Duration, Instant};

use adit_e2e::{
    Agent, DATAGRAM_BYTES_MAX, Database, Home, Key, NameServer, Options, Pattern, PortSlot, Signal, Stack,
    UdpOrigin, UdpVisitor, Visitor, until, within,
};
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

/// Visitors at once, from one address.
const VISITORS: u64 = 60;

/// A stack with public ports, and a computer for agents.
struct Place {
    home: Home,
    key: Key,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Result<Self> {
        let stack = Stack::start_with(Options { ports: Some(PortSlot::take()?), ..options }).await?;
        let key = stack.tenant("acme").await?;
        Ok(Self { home: Home::new(&stack, &key)?, key, stack })
    }

    fn udp(&self, upstream: &str, more: &[&str]) -> Result<Agent> {
        self.home.adit(&[&["udp", upstream, "--json"], more].concat())
    }

    fn ports(&self) -> Result<&PortSlot> {
        self.stack.ports().context("no ports")
    }
}

#[tokio::test]
async fn datagrams_of_any_size_come_back_whole() -> Result<()> {
    let place = Place::start().await?;
    let origin = UdpOrigin::echo().await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let visitor = UdpVisitor::of(&agent.url().await?).await?;
    for bytes in [0, 1, 512, 1_420, 1_472, 9_000, DATAGRAM_BYTES_MAX - 1, DATAGRAM_BYTES_MAX] {
        let sent = Pattern::new(1).take(bytes);
        assert!(visitor.ask(&sent).await? == sent, "{bytes}");
    }
    assert!(visitor.send(&vec![0; DATAGRAM_BYTES_MAX + 1]).await.is_err(), "IPv4 carries no more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_visitors_gets_its_own_answers_and_no_others() -> Result<()> {
    let place = Place::start().await?;
    let origin = UdpOrigin::start(|datagram| vec![datagram.iter().rev().copied().collect()]).await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let visits = (0..VISITORS).map(|nth| visit(&url, nth));
    try_join_all(visits).await?;
    assert_eq!(origin.seen().sources.len(), usize::try_from(VISITORS)?, "each has a flow of its own");
    Ok(())
}

async fn visit(url: &str, nth: u64) -> Result<()> {
    let visitor = UdpVisitor::of(url).await?;
    let mut sizes = Pattern::new(nth);
    for round in 0..20 {
        let bytes = usize::try_from(sizes.below(1_400))?;
        let question = [&nth.to_le_bytes(), &Pattern::new(round).take(bytes)[..]].concat();
        let mut answer = visitor.ask(&question).await?;
        answer.reverse();
        ensure!(answer == question, "visitor {nth}, round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn one_question_may_have_many_answers() -> Result<()> {
    const ANSWERS: u8 = 50;
    let place = Place::start().await?;
    let origin = UdpOrigin::start(|_| (0..ANSWERS).map(|n| vec![n; 200]).collect()).await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let visitor = UdpVisitor::of(&agent.url().await?).await?;
    visitor.send(b"all of it").await?;
    let mut seen: Vec<u8> = Vec::new();
    for _ in 0..ANSWERS {
        let answer = visitor.receive().await?;
        assert_eq!(answer.len(), 200);
        seen.extend(answer.first());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..ANSWERS).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn without_its_agent_a_port_is_closed_and_then_the_same() -> Result<()> {
    let place = Place::start().await?;
    let origin = UdpOrigin::echo().await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let visitor = UdpVisitor::of(&url).await?;
    assert_eq!(visitor.ask(b"ping").await?, b"ping");
    for signal in [Signal::KILL, Signal::INT] {
        agent.program().signal(signal)?;
        agent.program().end(WITHIN).await?;
        until("the port is closed", WITHIN, || async { refuses(&url).await.unwrap_or(false) }).await?;
        agent = place.udp(&origin.port(), &[])?;
        assert_eq!(agent.url().await?, url);
        // The same visitor goes on: its next datagram begins a flow.
        assert_eq!(visitor.ask_until_answered(b"ping").await?, b"ping");
    }
    Ok(())
}

/// Whether nobody takes datagrams there.
async fn refuses(url: &str) -> Result<bool> {
    let visitor = UdpVisitor::of(url).await?;
    visitor.send(b"ping").await?;
    let heard = visitor.receive().await;
    let refused = |error: &anyhow::Error| {
        error.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
            == Some(std::io::ErrorKind::ConnectionRefused)
    };
    Ok(heard.as_ref().is_err_and(refused))
}

#[tokio::test]
async fn the_port_is_the_same_after_a_restart_of_the_server() -> Result<()> {
    restart(Place::start().await?).await
}

#[tokio::test]
async fn the_port_is_the_same_after_a_restart_with_postgres() -> Result<()> {
    let database = Some(Database::create().await?);
    restart(Place::with(Options { database, ..Options::default() }).await?).await
}

async fn restart(mut place: Place) -> Result<()> {
    let origin = UdpOrigin::echo().await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let visitor = UdpVisitor::of(&url).await?;
    for signal in [Signal::KILL, Signal::TERM] {
        assert_eq!(visitor.ask_until_answered(b"ping").await?, b"ping");
        place.stack.program().signal(signal)?;
        place.stack.program().end(WITHIN).await?;
        agent.event("disconnected", WITHIN).await?;
        place.stack.start_again().await?;
        assert_eq!(agent.event("url_assigned", WITHIN).await?["url"], url);
    }
    assert_eq!(visitor.ask_until_answered(b"ping").await?, b"ping");
    Ok(())
}

#[tokio::test]
async fn a_node_that_drains_does_not_wait_for_silent_flows() -> Result<()> {
    const DRAIN_SECONDS: u64 = 300;
    let mut place = Place::with(Options { drain_timeout: Some(DRAIN_SECONDS), ..Options::default() }).await?;
    let origin = UdpOrigin::echo().await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let visitors = try_join_all((0..20).map(|_| UdpVisitor::of(&url))).await?;
    for visitor in &visitors {
        assert_eq!(visitor.ask(b"ping").await?, b"ping");
    }
    let begun = Instant::now();
    place.stack.program().signal(Signal::TERM)?;
    place.stack.program().end(WITHIN).await?;
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_number_is_leased_apart_for_udp_and_tcp() -> Result<()> {
    let place = Place::start().await?;
    let origin = UdpOrigin::echo().await?;
    let port = place.ports()?.last().to_string();
    let mut agent = place.udp(&origin.port(), &["--remote-port", &port])?;
    let url = format!("udp://localhost:{port}");
    assert_eq!(agent.url().await?, url);

    let other = Home::new(&place.stack, &place.stack.tenant("other").await?)?;
    let mut refused = other.adit(&["udp", &origin.port(), "--remote-port", &port, "--json"])?;
    assert_eq!(refused.exit(WITHIN).await?, 5);
    assert!(!format!("{:?}", refused.seen()).contains("acme"));
    let mut beside = other.adit(&["tcp", "22", "--remote-port", &port, "--json"])?;
    assert_eq!(beside.url().await?, format!("tcp://localhost:{port}"));

    // Any other agent of its tenant gets it: by its number, or by the URL that was printed.
    let laptop = Home::new(&place.stack, &place.key)?;
    for asks in [["--remote-port", &port], ["--url", &url]] {
        let mut back = laptop.adit(&[&["udp", &origin.port(), "--json"][..], &asks[..]].concat())?;
        assert_eq!(back.url().await?, url);
        let visitor = UdpVisitor::of(&url).await?;
        assert_eq!(visitor.ask_until_answered(b"ping").await?, b"ping");
    }
    Ok(())
}

#[tokio::test]
async fn the_newer_agent_takes_the_port_and_the_flows_that_go_on() -> Result<()> {
    let place = Place::start().await?;
    let [old, new] = [b"old", b"new"].map(|says| UdpOrigin::start(move |_| vec![says.to_vec()]));
    let (old, new) = (old.await?, new.await?);
    let mut first = place.udp(&old.port(), &["--url", "dns"])?;
    let url = first.url().await?;
    let visitor = UdpVisitor::of(&url).await?;
    assert_eq!(visitor.ask(b"who").await?, b"old");
    let laptop = Home::new(&place.stack, &place.key)?;
    let mut second = laptop.adit(&["udp", &new.port(), "--url", "dns", "--json"])?;
    assert_eq!(second.url().await?, url);
    assert_eq!(first.exit(WITHIN).await?, 5);
    assert!(first.has_said("replaced"));
    let is_new = async || visitor.ask_until_answered(b"who").await.is_ok_and(|answer| answer == b"new");
    until("the new one answers", WITHIN, is_new).await
}

#[tokio::test]
async fn what_is_not_offered_is_refused_with_a_reason() -> Result<()> {
    let place = Place::start().await?;
    let outside = (place.ports()?.last() + 1).to_string();
    let mut agent = place.udp("53", &["--remote-port", &outside])?;
    assert_eq!(agent.exit(WITHIN).await?, 5);
    let range = place.ports()?.range();
    assert!(format!("{:?}", agent.seen()).contains(&range), "{:?}", agent.seen());

    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    let mut agent = home.adit(&["udp", "53", "--json"])?;
    assert_eq!(agent.exit(WITHIN).await?, 5);
    assert!(format!("{:?}", agent.seen()).contains("no udp endpoints"), "{:?}", agent.seen());
    Ok(())
}

#[tokio::test]
async fn http_does_not_find_it() -> Result<()> {
    let place = Place::start().await?;
    let origin = UdpOrigin::echo().await?;
    let mut agent = place.udp(&origin.port(), &["--url", "dns"])?;
    let visitor = Visitor::new(&place.stack, &agent.hostname().await?)?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_not_there_yet_is_told_and_then_found() -> Result<()> {
    let place = Place::start().await?;
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut agent = place.udp(&format!("127.0.0.1:{nobody}"), &[])?;
    let visitor = UdpVisitor::of(&agent.url().await?).await?;
    visitor.send(b"ping").await?;
    let told = agent.event("upstream_refused", WITHIN).await?;
    assert_eq!(told["upstream"], format!("udp://127.0.0.1:{nobody}"));
    assert_eq!(told["reason"], "refused");
    let _origin = UdpOrigin::start_at(nobody, |datagram| vec![datagram.to_vec()]).await?;
    assert_eq!(visitor.ask_until_answered(b"ping").await?, b"ping");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_visitor_leaves_room_for_another() -> Result<()> {
    let place = Place::start().await?;
    // It answers nobody but those who ask for it: what floods come to is lost.
    let origin = UdpOrigin::start(|datagram| {
        datagram.starts_with(b"ask").then(|| datagram.to_vec()).into_iter().collect()
    })
    .await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let (flooding, other) = (UdpVisitor::of(&url).await?, UdpVisitor::of(&url).await?);
    let flood = async {
        loop {
            if let Err(error) = flooding.send(&[7; 1_400]).await {
                return Err(anyhow::Error::from(error));
            }
            tokio::task::yield_now().await;
        }
    };
    let asking = async {
        let mut rounds = 0..;
        // The flood has to be one.
        while let Some(round) = rounds.next().filter(|round| *round < 50 || origin.seen().datagrams < 3_000) {
            let question = format!("ask {round}");
            // Answers to a question that was asked twice come twice.
            while other.ask_until_answered(question.as_bytes()).await? != question.as_bytes() {}
        }
        anyhow::Ok(())
    };
    tokio::select! {
        flooded = flood => flooded,
        asked = asking => asked,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_flows_and_those_that_are_there_go_on() -> Result<()> {
    const FLOWS_PER_ADDRESS_MAX: usize = 256;
    let place = Place::start().await?;
    let origin = UdpOrigin::echo().await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let mut visitors = Vec::new();
    for n in 0..FLOWS_PER_ADDRESS_MAX {
        let visitor = UdpVisitor::of(&url).await?;
        // Who says something after an answer stays for minutes.
        for round in 0..2 {
            let question = format!("{n} {round}");
            ensure!(visitor.ask(question.as_bytes()).await? == question.as_bytes());
        }
        visitors.push(visitor);
    }
    let one_more = UdpVisitor::of(&url).await?;
    one_more.send(b"one more").await?;
    // Whatever comes after it at the same port is answered, so it was dropped.
    for visitor in &visitors {
        assert_eq!(visitor.ask(b"still here").await?, b"still here");
    }
    assert_eq!(origin.seen().sources.len(), FLOWS_PER_ADDRESS_MAX);
    Ok(())
}

/// Datagrams that were carried are counted once, with their payload, on both sides.
#[tokio::test]
async fn what_is_billed_is_what_both_ends_saw() -> Result<()> {
    let mut place = Place::start().await?;
    let origin = UdpOrigin::start(|datagram| vec![datagram.to_vec(), b"and more".to_vec()]).await?;
    let mut agent = place.udp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let visitors = try_join_all((0..3).map(|_| UdpVisitor::of(&url))).await?;
    let (mut sent, mut received) = (0, 0);
    for bytes in [0, 1, 1_000, 40_000] {
        for visitor in &visitors {
            let question = Pattern::new(bytes).take(usize::try_from(bytes)?);
            assert!(visitor.ask(&question).await? == question);
            assert_eq!(visitor.receive().await?, b"and more");
            sent += bytes;
            received += bytes + 8;
        }
    }
    assert_eq!(origin.seen().bytes, sent);
    // A node that ends in order loses nothing.
    place.stack.program().signal(Signal::TERM)?;
    place.stack.program().end(WITHIN).await?;
    let rows: Vec<Value> = place.stack.admin(&["usage", "--tenant", "acme"]).await?;
    let sum = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum::<u64>();
    let billed = ["connections", "requests", "in_bytes", "out_bytes"].map(sum);
    assert_eq!(billed, [3, 0, sent, received]);
    Ok(())
}

#[tokio::test]
async fn a_name_server_answers() -> Result<()> {
    let place = Place::start().await?;
    let server = NameServer::start()?;
    let mut agent = place.udp(&server.port(), &[])?;
    let url = agent.url().await?;
    let visitor = UdpVisitor::of(&url).await?;
    let answer = within("dnsmasq is there", WITHIN, async {
        visitor.ask_until_answered(&NameServer::question(7, "www.adit.test", NameServer::A)).await
    })
    .await??;
    assert_eq!(answer.get(..2), Some(&[0, 7][..]), "{answer:?}");
    assert_eq!(answer.get(3).map(|flags| flags & 15), Some(0), "no error: {answer:?}");
    assert_eq!(answer.get(6..8), Some(&[0, 1][..]), "one answer: {answer:?}");
    assert!(answer.windows(6).any(|at| at == [0, 4, 192, 0, 2, 7]), "its address: {answer:?}");

    // A stranger with a port of its own, and an answer of more than the 512 bytes of old.
    let other = UdpVisitor::of(&url).await?;
    let long = other.ask(&NameServer::question(8, "long.adit.test", NameServer::TXT)).await?;
    assert!(long.len() > 1_000, "{} bytes", long.len());
    assert_eq!(long.get(..2), Some(&[0, 8][..]));
    assert_eq!(long.get(6..8), Some(&[0, 4][..]), "four texts");
    Ok(())
}
