#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use super::{AccessLogs, Answer, Killed};
use crate::ledger::{Asked, Books, Told};

const SECOND: Duration = Duration::from_secs(1);

/// One upload to the endpoint of `a` that was answered.
fn asked() -> Asked {
    Asked {
        mark: 'a',
        safe: false,
        at: SECOND * 10,
        told: vec![(SECOND * 11, Told::Complete)],
        delivered: vec!['a'],
        delivered_at: Some(SECOND * 10),
        mistaken: None,
        answer: Some(Answer { request: "id-7".to_owned(), status: 200, in_bytes: 5, out_bytes: 9 }),
    }
}

fn books(change: impl FnOnce(&mut Asked)) -> Books {
    let mut one = asked();
    change(&mut one);
    Books { requests: [(7, one)].into(), ..Books::default() }
}

fn cut() -> Books {
    books(|asked| (asked.told, asked.answer) = (vec![(SECOND * 11, Told::Cut)], None))
}

const SERVED: &str = "2026 DEBUG adit::access: id=id-7 hostname=a.localhost path=/7/9/0 outcome=served status=200 \
                      in_bytes=5 out_bytes=9 tries=1 stream=id-7";
const STREAM: &str = "2026 DEBUG adit::access: stream=id-7 outcome=cut by=node in_bytes=90 out_bytes=99";

fn logs(node: &str, agent: &str) -> AccessLogs {
    let mut logs = AccessLogs::default();
    logs.read_node(&['a', 'b'], &format!("2026 INFO adit_server: agent connected\n{node}\n"));
    logs.read_agent('a', &format!("2026 DEBUG adit: something\n{agent}\n"));
    logs
}

/// Exactly this is found.
fn found(logs: &AccessLogs, books: &Books, words: &str) {
    let violations = logs.violations(books);
    assert!(violations.len() == 1 && violations[0].contains(words), "{violations:?}");
}

fn fine(logs: &AccessLogs, books: &Books) {
    assert_eq!(logs.violations(books), Vec::<String>::new());
}

#[test]
fn logs_that_agree_have_no_violation() {
    fine(&logs(SERVED, STREAM), &books(|_| {}));
    assert_eq!(logs(SERVED, STREAM).len(), [1, 1]);
    assert!(logs("", "").is_empty());
    // The answer of another one on the same stream.
    let next = SERVED.replace("id=id-7", "id=id-8").replace("/7/", "/8/");
    let mut two = books(|_| {});
    let answer = Answer { request: "id-8".to_owned(), ..asked().answer.unwrap() };
    two.requests.insert(8, Asked { answer: Some(answer), ..asked() });
    fine(&logs(&format!("{SERVED}\n{next}"), STREAM), &two);
}

#[test]
fn an_answer_that_is_not_in_the_log_is_found() {
    let (all, none) = (books(|_| {}), logs("", ""));
    let violations = none.violations(&all);
    assert!(violations[0].contains("id-7, which is not in the log"), "{violations:?}");
    assert!(violations[1].contains("arrived, and the log has 0 records"), "{violations:?}");
    found(&logs(&SERVED.replace("stream=id-7", "x=y"), ""), &all, "none with a stream");
}

#[test]
fn an_answer_that_is_another_in_the_log_is_found() {
    let books = books(|_| {});
    for (is, should) in [
        ("outcome=cut", "outcome=served"),
        ("status=204", "status=200"),
        ("in_bytes=4", "in_bytes=5"),
        ("out_bytes=8", "out_bytes=9"),
    ] {
        found(&logs(&SERVED.replace(should, is), STREAM), &books, "and the log has");
    }
}

#[test]
fn an_error_must_be_a_refusal_with_its_status() {
    let refused = |status| {
        books(|asked| {
            asked.told = vec![(SECOND * 11, Told::Error(status))];
            asked.answer = Some(Answer { request: "id-7".to_owned(), status, in_bytes: 5, out_bytes: 400 });
        })
    };
    let line = SERVED.replace("outcome=served status=200", "outcome=refused code=ADIT-2001 status=502");
    let line = line.replace("out_bytes=9", "out_bytes=0");
    fine(&logs(&line, STREAM), &refused(502));
    found(&logs(&line, STREAM), &refused(503), "and the log has");
    found(&logs(SERVED, STREAM), &refused(200), "and the log has");
}

#[test]
fn what_broke_at_the_visitor_and_is_served_in_the_log_is_found() {
    found(&logs(SERVED, STREAM), &cut(), "in the log as served");
    fine(&logs(&SERVED.replace("served", "cut"), STREAM), &cut());
}

#[test]
fn what_nobody_asked_is_found() {
    let all = format!("{SERVED}\n{}", SERVED.replace("id-7", "id-8").replace("/7/", "/8/"));
    let streams = format!("{STREAM}\n{}", STREAM.replace("id-7", "id-8"));
    found(&logs(&all, &streams), &books(|_| {}), "id-8 at /8/9/0 of a was never asked");
    // A name that nobody keeps books of.
    let newcomer = all.replace("a.localhost path=/8/", "newcomer.localhost path=/8/");
    fine(&logs(&newcomer, STREAM), &books(|_| {}));
    assert_eq!(logs(&newcomer, STREAM).len(), [1, 1]);
    // It was asked under another one.
    let mut of_b = books(|_| {});
    of_b.requests.insert(8, Asked { mark: 'b', answer: None, delivered: Vec::new(), ..asked() });
    found(&logs(&all, &streams), &of_b, "id-8 at /8/9/0 of a was never asked");
}

#[test]
fn records_that_come_twice_are_found() {
    let books = books(|_| {});
    found(&logs(&format!("{SERVED}\n{SERVED}"), STREAM), &books, "id-7 has several records");
    let two = format!("{STREAM}\n{STREAM}");
    found(&logs(SERVED, &two), &books, "came 2 times, and was tried 1 times");
    fine(&logs(&SERVED.replace("tries=1", "tries=2"), &two), &books);
}

#[test]
fn a_stream_that_the_other_side_does_not_know_is_found() {
    let books = books(|_| {});
    found(&logs(SERVED, ""), &books, "stream id-7 is in no agent's log");
    let other = format!("{STREAM}\n{}", STREAM.replace("id-7", "id-9"));
    found(&logs(SERVED, &other), &books, "stream id-9 is in an agent's log and not in the node's");
    let mut of_b = logs(SERVED, "");
    of_b.read_agent('b', STREAM);
    found(&of_b, &books, "in the log of the agent of b");
}

#[test]
fn a_line_that_is_no_record_is_found() {
    found(
        &logs(&format!("{SERVED}\n2026 DEBUG adit::access: id=forged"), STREAM),
        &books(|_| {}),
        "no record",
    );
}

#[test]
fn a_killed_node_may_lack_what_it_carried_and_what_had_just_ended() {
    let killed = |at: Duration| Books { kills: vec![(Killed::Node, at)], ..books(|_| {}) };
    fine(&logs("", STREAM), &killed(SECOND * 10));
    fine(&logs("", STREAM), &killed(SECOND * 13));
    for at in [SECOND * 9, SECOND * 14] {
        let violations = logs("", STREAM).violations(&killed(at));
        assert_eq!(violations.len(), 2, "{violations:?}");
    }
    // What is there must be right.
    found(
        &logs(&SERVED.replace("out_bytes=9", "out_bytes=8"), STREAM),
        &killed(SECOND * 13),
        "and the log has",
    );
    fine(&logs(SERVED, STREAM), &Books { kills: killed(SECOND * 11).kills, ..cut() });
    found(&logs(SERVED, STREAM), &Books { kills: killed(SECOND * 14).kills, ..cut() }, "as served");
}

#[test]
fn a_log_that_has_lost_lines_may_lack_any() {
    const LOST: &str =
        "2026 WARN adit_process: lines of the log were lost: they could not be written as fast as they came";
    fine(&logs(LOST, STREAM), &books(|_| {}));
    let wrong = format!("{LOST}\n{}", SERVED.replace("out_bytes=9", "out_bytes=8"));
    found(&logs(&wrong, STREAM), &books(|_| {}), "and the log has");
}

#[test]
fn a_killed_agent_may_lack_the_streams_that_it_had() {
    let killed = |who, at: Duration| Books { kills: vec![(Killed::Agent(who), at)], ..books(|_| {}) };
    fine(&logs(SERVED, ""), &killed('a', SECOND * 10));
    fine(&logs(SERVED, ""), &killed('a', SECOND * 31));
    for books in [killed('a', SECOND * 9), killed('a', SECOND * 32), killed('b', SECOND * 11)] {
        found(&logs(SERVED, ""), &books, "in no agent's log");
    }
    // A later request has kept the stream.
    let next = SERVED.replace("id=id-7", "id=id-8").replace("/7/", "/8/");
    let mut kept = killed('a', SECOND * 40);
    let answer = Answer { request: "id-8".to_owned(), ..asked().answer.unwrap() };
    let (at, told) = (SECOND * 20, vec![(SECOND * 21, Told::Complete)]);
    kept.requests.insert(8, Asked { at, told, answer: Some(answer), ..asked() });
    fine(&logs(&format!("{SERVED}\n{next}"), ""), &kept);
}
