#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;
use std::time::Duration;

use adit_authority::UsageRow;
use adit_domain::id::{EndpointId, NodeId};
use adit_domain::{Carried, Timestamp};

use super::Book;
use crate::limits::USAGE_ROWS_KEPT_MAX;

fn at(hour: u64, minute: u64) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_mins(hour * 60 + minute))
}

fn carried(requests: u64) -> Carried {
    Carried { requests, in_bytes: 10 * requests, ..Carried::default() }
}

/// What a control plane makes of reports: of equal rows the larger numbers.
#[derive(Default)]
struct Plane(HashMap<String, Carried>);

impl Plane {
    fn take(&mut self, rows: &[UsageRow]) {
        for row in rows {
            let key = format!("{} {} {} {}", row.node, row.boot, row.endpoint, row.hour);
            let kept = self.0.entry(key).or_default();
            *kept = kept.largest(row.carried);
        }
    }

    fn sum(&self) -> Carried {
        self.0.values().fold(Carried::default(), |sum, row| sum.plus(*row))
    }
}

#[test]
fn each_hour_has_its_row() {
    let (endpoint, mut book) = (EndpointId::new(), Book::new(NodeId::new(), [], at(7, 0)));
    assert!(!book.write([(endpoint, carried(0))], at(7, 1)));
    assert_eq!(book.rows().count(), 0);
    for (count, now) in [(1, at(7, 2)), (3, at(7, 59)), (7, at(8, 0)), (9, at(10, 30))] {
        assert!(book.write([(endpoint, carried(count))], now));
    }
    let rows: HashMap<_, _> = book.rows().map(|row| (row.hour, row.carried)).collect();
    assert_eq!(rows, HashMap::from([(7, carried(3)), (8, carried(4)), (10, carried(2))]));
}

#[test]
fn rows_are_dropped_when_they_are_closed_and_confirmed() {
    let (endpoint, mut book) = (EndpointId::new(), Book::new(NodeId::new(), [], at(7, 0)));
    book.write([(endpoint, carried(1))], at(7, 0));
    let reported = book.unconfirmed(9);
    assert_eq!(reported.len(), 1);
    // More comes while the report is on its way.
    book.write([(endpoint, carried(2))], at(7, 0));
    book.confirm(&reported);
    assert_eq!(book.unconfirmed(9)[0].carried, carried(2));
    book.confirm(&book.unconfirmed(9));
    assert!(book.unconfirmed(9).is_empty());
    // Still open: to begin it anew would lose it.
    assert!(!book.drop_closed());
    assert!(!book.is_settled(endpoint, carried(2)));

    book.write([(endpoint, carried(2))], at(8, 0));
    assert!(book.drop_closed());
    assert_eq!(book.rows().count(), 0);
    assert!(book.is_settled(endpoint, carried(2)));
    assert!(!book.is_settled(endpoint, carried(3)), "what is not written down is not settled");
    // Another one was forgotten: of this one nothing is counted twice.
    book.forget(&[EndpointId::new()]);
    book.write([(endpoint, carried(2))], at(8, 1));
    assert_eq!(book.rows().count(), 0);
    book.forget(&[endpoint]);
    book.write([(endpoint, carried(1))], at(8, 1));
    assert_eq!(book.rows().map(|row| row.carried).collect::<Vec<_>>(), [carried(1)]);
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_doubles_nothing() {
    let (endpoint, mut plane) = (EndpointId::new(), Plane::default());
    let mut book = Book::new(NodeId::new(), [], at(100, 0));
    let hours = [100, 101, 100, 100, 9_000, 9_001, 102, 103, 102, 0, 104];
    for (count, hour) in (1_u64..).zip(hours) {
        book.write([(endpoint, carried(count))], at(hour, 0));
        let reported = book.unconfirmed(99);
        plane.take(&reported);
        // A report is repeated when its answer is lost.
        if count % 3 != 0 {
            book.confirm(&reported);
        }
        book.drop_closed();
        assert_eq!(plane.sum(), carried(count), "at {hour}");
    }
}

#[test]
fn what_a_boot_left_is_reported_by_the_next() {
    let (endpoint, node) = (EndpointId::new(), NodeId::new());
    let mut first = Book::new(node, [], at(7, 0));
    first.write([(endpoint, carried(5))], at(7, 1));
    let left: Vec<_> = first.rows().collect();
    first.write([(endpoint, carried(6))], at(7, 2));
    let newer: Vec<_> = first.rows().collect();

    let mut plane = Plane::default();
    plane.take(&left);
    // The same row twice, as two files may have it.
    let mut second = Book::new(node, newer.into_iter().chain(left), at(7, 3));
    second.write([(endpoint, carried(2))], at(7, 4));
    assert_eq!(second.rows().count(), 2);
    let reported = second.unconfirmed(9);
    plane.take(&reported);
    assert_eq!(plane.sum(), carried(8));
    second.confirm(&reported);
    assert!(second.drop_closed());
    assert_eq!(second.rows().map(|row| row.carried).collect::<Vec<_>>(), [carried(2)]);
}

#[test]
fn rows_that_pile_up_begin_no_new_hour() {
    for (left, hours) in
        [(USAGE_ROWS_KEPT_MAX - 2, [7, 8]), (USAGE_ROWS_KEPT_MAX - 1, [7, 7]), (USAGE_ROWS_KEPT_MAX, [7, 7])]
    {
        let mut filler = Book::new(NodeId::new(), [], at(7, 0));
        filler.write((0..left).map(|_| (EndpointId::new(), carried(1))), at(7, 0));
        let mut book = Book::new(NodeId::new(), filler.rows().collect::<Vec<_>>(), at(7, 0));
        let endpoint = EndpointId::new();
        book.write([(endpoint, carried(1))], at(7, 0));
        book.write([(endpoint, carried(2))], at(8, 0));
        let mut seen: Vec<_> =
            book.rows().filter(|row| row.endpoint == endpoint).map(|row| row.hour).collect();
        seen.sort_unstable();
        let mut expected = hours.to_vec();
        expected.dedup();
        assert_eq!(seen, expected, "{left}");
        let sum =
            book.rows().filter(|row| row.endpoint == endpoint).map(|row| row.carried).reduce(Carried::plus);
        assert_eq!(sum.unwrap(), carried(2));
    }
}
