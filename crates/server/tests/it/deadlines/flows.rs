//! Flows of datagrams in which nobody says anything any more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_domain::EndpointKind;
use adit_domain::id::TenantId;
use adit_mux::{Answer, DatagramIo, Flow, FlowEnd, FlowIdle};
use adit_server::limits::{FLOW_CONVERSATION_IDLE, FLOW_DRAINING_IDLE, FLOW_QUESTION_IDLE};
use adit_wire::control::{Bind, Frame};
use adit_wire::record::AbortCode;
use tokio::task::spawn_blocking;

use super::takes;
use crate::support::agent::{Identity, TestAgent, bind};
use crate::support::authority::Authority;
use crate::support::node::TestNode;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The agent's own patience: the node's must be shorter.
const LONG: FlowIdle = FlowIdle::of(Duration::from_hours(1));

/// While this is there the clock stands still, whatever the kernel takes its time for.
struct Standstill(#[expect(dead_code, reason = "its end is what counts")] mpsc::SyncSender<()>);

fn standstill() -> Standstill {
    let (end, ended) = mpsc::sync_channel(0);
    drop(spawn_blocking(move || ended.recv().is_ok()));
    Standstill(end)
}

/// An upstream that answers the first datagram, or none, and lets the clock go on when it has seen so many.
struct Upstream {
    answers: bool,
    awaited: u32,
    until_then: Option<Standstill>,
}

impl DatagramIo for Upstream {
    fn poll_recv(&mut self, _: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>> {
        if !std::mem::take(&mut self.answers) {
            return Poll::Pending;
        }
        datagram.extend(b"answer");
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<()> {
        self.awaited -= 1;
        if self.awaited == 0 {
            self.until_then = None;
        }
        Poll::Ready(())
    }
}

/// A node with a udp endpoint, its agent, and a visitor.
async fn scene() -> (TestNode, TestAgent, UdpSocket) {
    let node = TestNode::still(Authority::new(), |builder| builder.ports_at(HERE));
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let free = UdpSocket::bind((HERE, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (kind, number) = (EndpointKind::Udp, NonZeroU16::new(port));
    let bind = Bind { kind, port: number, ..bind("one.localhost", agent.instance) };
    agent.control.send(&Frame::Bind(bind)).await.unwrap();
    assert!(matches!(agent.hear().await, Frame::Bound(_)));
    let visitor = UdpSocket::bind((HERE, 0)).unwrap();
    visitor.connect((HERE, port)).unwrap();
    (node, agent, visitor)
}

/// The flow of the visitor's first datagram, as the agent has it.
async fn asked(agent: &mut TestAgent, visitor: &UdpSocket, upstream: Upstream) -> Flow<Upstream> {
    visitor.send(b"question").unwrap();
    let mut stream = agent.incoming.next().await.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    Flow::new(stream, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_is_waited_for() {
    let (_node, mut agent, visitor) = scene().await;
    let upstream = Upstream { answers: false, awaited: 1, until_then: Some(standstill()) };
    let mut flow = asked(&mut agent, &visitor, upstream).await;
    let ended = takes(FLOW_QUESTION_IDLE, flow.run(LONG)).await;
    assert_eq!(ended, FlowEnd::Aborted(AbortCode::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_waited_for_longer() {
    let (_node, mut agent, visitor) = scene().await;
    let upstream = Upstream { answers: true, awaited: 2, until_then: Some(standstill()) };
    let mut flow = asked(&mut agent, &visitor, upstream).await;
    let goes_on = spawn_blocking(move || {
        visitor.recv(&mut [0; 64]).unwrap();
        visitor.send(b"and").unwrap();
        visitor
    });
    let ended = takes(FLOW_CONVERSATION_IDLE, flow.run(LONG)).await;
    assert_eq!(ended, FlowEnd::Aborted(AbortCode::Idle));
    drop(goes_on.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_does_not_wait_for_what_is_silent() {
    let (node, mut agent, visitor) = scene().await;
    let upstream = Upstream { answers: true, awaited: 1, until_then: Some(standstill()) };
    let mut flow = asked(&mut agent, &visitor, upstream).await;
    let mut stays = agent;
    let leaves = async {
        let Frame::Drain { .. } = stays.hear().await else { panic!("no drain") };
        stays
    };
    node.trigger.drain();
    let (ended, _stays) = tokio::join!(takes(FLOW_DRAINING_IDLE, flow.run(LONG)), leaves);
    assert_eq!(ended, FlowEnd::Aborted(AbortCode::Idle));
}
