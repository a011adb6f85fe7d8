#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use adit_domain::id::{EndpointId, InstanceId, NodeId, SessionId};
use adit_domain::{Epoch, Hostname};

use super::{Event, Events, Reason, SCHEMA, UpstreamTrouble};
use crate::limits::EVENTS_MAX;

#[test]
fn a_slow_reader_loses_the_newest_and_is_told_how_many() {
    for (sent, dropped) in [(EVENTS_MAX - 1, 0), (EVENTS_MAX, 0), (EVENTS_MAX + 1, 1)] {
        let (emitter, mut events) = Events::channel();
        (0..sent).for_each(|_| emitter.emit(Event::Connecting { attempt: 1 }));
        drop(emitter);
        let mut received = 0;
        while events.next_blocking().is_some() {
            received += 1;
        }
        assert_eq!((received, events.dropped()), (sent.min(EVENTS_MAX), dropped));
    }
}

/// One of each, with every field.
fn all() -> Vec<Event> {
    let text = String::new;
    vec![
        Event::Starting {
            schema: SCHEMA,
            version: "0",
            server: text(),
            upstream: text(),
            instance: InstanceId::new(),
        },
        Event::Connecting { attempt: 1 },
        Event::Connected { session: SessionId::new(), node: NodeId::new() },
        Event::UrlAssigned {
            url: text(),
            hostname: Hostname::parse("demo.test").unwrap(),
            endpoint: EndpointId::new(),
            epoch: Epoch(1),
            upstream: text(),
        },
        Event::Disconnected {
            reason: Reason::Unreachable,
            message: text(),
            code: Some(text()),
            retry_in_ms: 1,
        },
        Event::UpstreamRefused { upstream: text(), reason: UpstreamTrouble::Refused, message: text() },
        Event::Warning { message: text() },
        Event::Replaced { url: Some(text()) },
        Event::Stopped { exit_code: 0, message: Some(text()), advice: Some(text()), code: Some(text()) },
    ]
}

#[test]
fn the_reference_names_every_event_and_field_and_reason() {
    let reference = include_str!("../../../../docs/events.md");
    for event in all() {
        let value = serde_json::to_value(&event).unwrap();
        let name = value["event"].as_str().unwrap();
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some(), "docs/events.md has no row for {name}");
        let row = row.unwrap();
        for field in value.as_object().unwrap().keys().filter(|field| *field != "event") {
            assert!(row.contains(&format!("`{field}`")), "{name}.{field}");
        }
    }
    let reasons = [
        Reason::Unreachable,
        Reason::Untrusted,
        Reason::Protocol,
        Reason::Unavailable,
        Reason::Draining,
        Reason::WornOut,
        Reason::CapabilityRefused,
        Reason::BindRefused,
        Reason::ConnectionLost,
    ];
    let troubles = [UpstreamTrouble::Refused, UpstreamTrouble::TimedOut, UpstreamTrouble::Tls];
    let reasons = reasons.iter().map(|reason| serde_json::to_value(reason).unwrap());
    let troubles = troubles.iter().map(|trouble| serde_json::to_value(trouble).unwrap());
    for word in reasons.chain(troubles) {
        let word = word.as_str().unwrap().to_owned();
        assert!(reference.contains(&format!("\n| `{word}` |")), "{word}");
    }
}
