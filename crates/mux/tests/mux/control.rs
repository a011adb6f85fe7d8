//! The control stream: frames in order, bounded queues.

use adit_domain::{EndpointKind, Epoch, Handling, id::InstanceId};
use adit_mux::{CloseReason, Config, SendError, limits};
use adit_wire::control::{Bind, DrainReason, Frame, GoodbyeReason, encode};
use tokio::{io::duplex, time::Instant};

use crate::{
    kit::{pair, pair_over, poll_now, within},
    raw::{CONTROL, Raw, SYN, WINDOW},
};

fn bind(request: u32) -> Frame {
    Frame::Bind(Bind {
        request,
        kind: EndpointKind::Http,
        hostname: None,
        port: None,
        label: "3000".into(),
        upstream: adit_domain::UpstreamProtocol::Http1,
        host_header: String::new(),
        instance: InstanceId::from_bytes([3; 16]),
        prior_epoch: Epoch(0),
        pooling: None,
        handling: Handling::default(),
    })
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn frames_pass_both_ways_in_order() {
    let mut pair = pair();
    for request in 0..1_000 {
        let (sent, received) = tokio::join!(
            async {
                pair.agent_control.send(&bind(request)).await.unwrap();
                pair.agent_control.recv().await
            },
            async {
                let received = pair.server_control.recv().await;
                pair.server_control
                    .send(&Frame::Drain { deadline_ms: request, reason: DrainReason::NodeLeaves })
                    .await
                    .unwrap();
                received
            }
        );
        assert_eq!(received, Ok(bind(request)));
        assert_eq!(sent, Ok(Frame::Drain { deadline_ms: request, reason: DrainReason::NodeLeaves }));
    }
}

#[tokio::test]
async fn the_halves_work_apart() {
    let pair = pair();
    let (sender, _receiver) = pair.agent_control.split();
    let (_sender, mut receiver) = pair.server_control.split();
    let clone = sender.clone();
    drop(sender);
    clone.send(&bind(1)).await.unwrap();
    assert_eq!(within(receiver.recv()).await, Ok(bind(1)));
    clone.close("done");
    assert_eq!(within(clone.closed().wait()).await, CloseReason::Asked("done"));
    assert_eq!(within(receiver.recv()).await, Err(CloseReason::PeerLeft));
    assert_eq!(clone.send(&bind(2)).await, Err(SendError::Closed(CloseReason::Asked("done"))));
}

#[tokio::test]
async fn what_cannot_be_encoded_is_refused_at_once() {
    let pair = pair();
    let Frame::Bind(mut bind) = bind(1) else { return };
    bind.label = "x".repeat(65);
    let sent = pair.agent_control.send(&Frame::Bind(bind)).await;
    assert!(matches!(sent, Err(SendError::Encode(_))), "{sent:?}");
}

#[tokio::test]
async fn frames_queued_before_close_arrive() {
    let mut pair = pair();
    // In this order, without the agent's driver having a chance to run in between.
    for request in 0..20 {
        pair.agent_control.send(&bind(request)).await.unwrap();
    }
    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
    pair.agent_control.send(&goodbye).await.unwrap();
    pair.incoming.close("finished");
    for request in 0..20 {
        assert_eq!(within(pair.server_control.recv()).await, Ok(bind(request)));
    }
    assert_eq!(within(pair.server_control.recv()).await, Ok(goodbye));
    assert_eq!(within(pair.server_control.recv()).await, Err(CloseReason::PeerLeft));
}

#[tokio::test]
async fn a_frame_may_come_in_pieces_and_many_in_one() {
    let (mut raw, _session, mut control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut bytes = Vec::new();
    for request in 0..10 {
        encode(&bind(request), &mut bytes).unwrap();
    }
    for size in [1, 3, 50, bytes.len()] {
        for part in bytes.chunks(size) {
            raw.data(0, CONTROL, part).await;
        }
        for request in 0..10 {
            let mut recv = Box::pin(control.recv());
            // A receiver that is dropped takes nothing with it.
            let first = poll_now(&mut recv).await;
            drop(recv);
            let frame = match first {
                std::task::Poll::Ready(frame) => frame,
                std::task::Poll::Pending => within(control.recv()).await,
            };
            assert_eq!(frame, Ok(bind(request)), "in parts of {size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_with_the_stream_itself_is_read_at_once() {
    let (mut raw, _session, mut control, driver) = Raw::silent_agent_of(&Config::default());
    raw.control(&bind(1), SYN).await;
    let start = Instant::now();
    tokio::spawn(driver.run());
    assert_eq!(control.recv().await, Ok(bind(1)));
    assert!(start.elapsed().is_zero(), "not only when something else wakes the driver");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_window_of_the_control_stream() {
    let (mut raw, session, control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut sent = 0;
    // Until the window, what is encoded and the queue are full.
    while tokio::time::timeout(limits::CONTROL_SEND_DEADLINE / 100, control.send(&bind(sent))).await.is_ok() {
        sent += 1;
    }
    let bytes = usize::try_from(sent).unwrap() * encoded(&bind(0)).len();
    let held = limits::CONTROL_UNSENT_BYTES_MAX + limits::CONTROL_QUEUE_FRAMES * encoded(&bind(0)).len();
    // yamux lets so much go at first; a frame more may be on its way between two of them.
    let window = 256 << 10;
    let frame = encoded(&bind(0)).len();
    assert!((window + held..=window + held + 2 * frame).contains(&bytes), "{bytes} of {}", window + held);
    session.close("enough");
    raw.send(WINDOW, 0, CONTROL, 1 << 20, &[]).await;
    for request in 0..sent {
        assert_eq!(raw.next_control().await, bind(request));
    }
    assert_eq!(session.closed().wait().await, CloseReason::Asked("enough"));
}

#[tokio::test(start_paused = true)]
async fn both_queues_are_bounded() {
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, &Config::default());
    let sender = pair.agent_control.split().0;
    let mut sent = 0;
    // The server takes nothing: its queue, the window and our queue fill, then sending fails.
    let failure = loop {
        match sender.send(&bind(sent)).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    // A session whose owner is stuck does not answer pings either, but its bytes go on.
    assert!(matches!(failure, SendError::Stalled | SendError::Closed(_)), "{failure:?}");
    assert!(sent < 10_000, "{sent}");
    for request in 0..u32::try_from(limits::CONTROL_QUEUE_FRAMES).unwrap() {
        assert_eq!(pair.server_control.recv().await, Ok(bind(request)));
    }
}

#[tokio::test]
async fn dropping_control_ends_nothing() {
    let mut pair = pair();
    drop(pair.server_control);
    for request in 0..100 {
        pair.agent_control.send(&bind(request)).await.unwrap();
    }
    let (session, mut incoming) = (pair.session.clone(), pair.incoming);
    let header = crate::kit::header();
    let (opened, arrival) = tokio::join!(session.open(&header), incoming.next());
    assert!(opened.is_ok() && arrival.is_some());
    pair.session.close("enough");
    assert_eq!(within(pair.agent_control.recv()).await, Err(CloseReason::PeerLeft));
}
