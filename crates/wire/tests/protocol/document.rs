//! `docs/protocol.md` says the same numbers as the code.

use adit_wire::control::{BindRefusal, DrainReason, GoodbyeReason, UnbindReason};
use adit_wire::limits;
use adit_wire::preface::Status;
use adit_wire::record::AbortCode;

const DOCUMENT: &str = include_str!("../../../../docs/protocol.md");

/// The part of the document between two of its lines that start like this.
fn part(from: &str, to: &str) -> &'static str {
    let after = DOCUMENT.split_once(&format!("\n{from}")).unwrap().1;
    after.split_once(&format!("\n{to}")).unwrap().0
}

/// The first two columns of the rows that start with a number.
fn rows(part: &str) -> Vec<(u32, String)> {
    let columns = |line: &str| {
        let mut columns = line.split(" | ");
        let code = columns.next()?.strip_prefix("| ")?.parse().ok()?;
        Some((code, columns.next()?.to_owned()))
    };
    part.lines().filter_map(columns).collect()
}

macro_rules! known {
    ($type:ident) => {
        $type::ALL.iter().map(|code| (u32::from(code.code()), code.name().to_owned())).collect::<Vec<_>>()
    };
}

#[test]
fn every_table_of_codes() {
    assert_eq!(rows(part("| status | name", "\"Comes back\"")), known!(Status));
    assert_eq!(rows(part("| reason | name | meaning | for good", "### unbind")), known!(BindRefusal));
    assert_eq!(rows(part("Ends the session's binding", "### ping")), known!(UnbindReason));
    assert_eq!(rows(part("The node takes no more binds here", "### refresh")), known!(DrainReason));
    assert_eq!(rows(part("The last frame of its sender", "A connection that ends")), known!(GoodbyeReason));
    assert_eq!(rows(part("| abort code", "## 10.")), known!(AbortCode));
}

#[test]
fn which_refusals_are_for_good() {
    for refusal in BindRefusal::ALL {
        let start = format!("| {} | {} |", refusal.code(), refusal.name());
        let row = DOCUMENT.lines().find(|line| line.starts_with(&start)).unwrap();
        assert_eq!(row.ends_with("| yes |"), refusal.is_permanent(), "{refusal}");
    }
    for status in Status::ALL {
        let start = format!("| {} | {} |", status.code(), status.name());
        let row = DOCUMENT.lines().find(|line| line.starts_with(&start)).unwrap();
        assert_eq!(row.contains("| stops"), status.is_permanent(), "{status}");
        assert_eq!(row.contains("| exchanges its API key again"), status.wants_new_capability(), "{status}");
    }
}

#[test]
fn the_bounds() {
    let texts = format!(
        "| host name / label / host header / URL / message | {} / {} / {} / {} / {} bytes |",
        limits::HOSTNAME_BYTES_MAX,
        limits::LABEL_BYTES_MAX,
        limits::HOST_HEADER_BYTES_MAX,
        limits::URL_BYTES_MAX,
        limits::MESSAGE_BYTES_MAX
    );
    let rows = [
        texts,
        format!("| control frame, whole | {} bytes |", thousands(limits::CONTROL_FRAME_BYTES_MAX)),
        format!("| body of a data record | 1 to {} bytes |", thousands(limits::RECORD_DATA_BYTES_MAX)),
        format!("| body of a datagram record | 0 to {} bytes |", thousands(limits::DATAGRAM_BYTES_MAX)),
        format!(
            "| credit for the largest datagram, left by whoever has read everything | {} |",
            thousands(limits::DATAGRAM_CREDIT_BYTES)
        ),
        format!("| data before the agent's answer | {} bytes |", thousands(limits::EARLY_BYTES_MAX)),
        format!(
            "| credit of each side of a stream at its start | {} |",
            thousands(limits::INITIAL_CREDIT_BYTES)
        ),
        format!("| cost of a yamux frame beside its body | {} |", limits::FRAME_CREDIT_BYTES),
        format!("| difference of clocks | {} s |", limits::CLOCK_SKEW_MAX.as_secs()),
        format!("| minting keys that a node knows at a time | {} |", limits::KEY_RING_KEYS_MAX),
    ];
    for row in rows {
        assert!(DOCUMENT.lines().any(|line| line == row), "{row}");
    }
}

fn thousands(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}
