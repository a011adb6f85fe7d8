use std::time::Duration;

use super::{Answer, Asked, Books, Bounds, Noticed, Told};

const SECOND: Duration = Duration::from_secs(1);
const BOUNDS: Bounds = Bounds { back_within: Duration::from_mins(1), told_within: Duration::from_secs(30) };

fn fine(mark: char) -> Asked {
    let told = vec![(SECOND * 11, Told::Complete)];
    let (delivered, delivered_at) = (vec![mark], Some(SECOND * 10));
    let (mistaken, answer) = (None, None);
    Asked { mark, safe: false, at: SECOND * 10, told, delivered, delivered_at, mistaken, answer }
}

fn books(change: impl FnOnce(&mut Asked)) -> Books {
    let mut asked = fine('a');
    change(&mut asked);
    let requests = (0_u64..).zip([asked, fine('a'), fine('b')]).collect();
    Books { requests, healed: Some(SECOND * 10), ..Books::default() }
}

/// Exactly this is found.
fn found(books: &Books, words: &str) {
    let violations = books.violations(BOUNDS);
    assert!(violations.len() == 1 && violations.iter().all(|it| it.contains(words)), "{violations:?}");
}

#[test]
fn a_fine_run_has_no_violation() {
    assert_eq!(books(|_| {}).violations(BOUNDS), Vec::<String>::new());
}

#[test]
fn outcomes_that_are_none_are_found() {
    found(&books(|asked| asked.told.clear()), "no outcome");
    found(&books(|asked| asked.told.insert(0, (SECOND * 11, Told::Complete))), "2 outcomes");
    found(&books(|asked| asked.delivered.clear()), "no origin saw it");
    let late = SECOND * 41;
    found(&books(|asked| asked.told = vec![(late, Told::Complete)]), "took 31s");
    found(&before(Told::Wrong("a short body".to_owned())), "a short body");
    found(&before(Told::Error(503)), "was told 503 and had arrived");
}

#[test]
fn a_part_that_looked_whole_is_found() {
    let books = books(|asked| asked.mistaken = Some("9 bytes of 10".to_owned()));
    found(&books, "an origin took for the whole: 9 bytes of 10");
}

#[test]
fn deliveries_that_must_not_be_are_found() {
    found(&books(|asked| asked.delivered = vec!['b']), "arrived at b");
    found(&books(|asked| asked.delivered = vec!['a'; 2]), "arrived 2 times");
    let safe = |times| {
        books(|asked| {
            asked.safe = true;
            asked.delivered = vec!['a'; times];
        })
    };
    assert_eq!(safe(2).violations(BOUNDS), Vec::<String>::new());
    found(&safe(3), "arrived 3 times");
}

#[test]
fn two_owners_of_one_thing_are_found() {
    let mut books = books(|_| {});
    books.owners.insert("epoch 1".to_owned(), vec!["one".to_owned(), "one".to_owned()]);
    assert_eq!(books.violations(BOUNDS), Vec::<String>::new());
    books.owners.insert("epoch 2".to_owned(), vec!["one".to_owned(), "another".to_owned()]);
    found(&books, "epoch 2 was given to");
}

#[test]
fn a_fault_that_reaches_a_neighbour_is_found() {
    let mut books = before(Told::Cut);
    books.spared.push('b');
    assert_eq!(books.violations(BOUNDS), Vec::<String>::new());
    books.spared.push('a');
    found(&books, "no fault was to reach");
}

#[test]
fn service_that_does_not_come_back_is_found() {
    let mut never = books(|_| {});
    never.requests.insert(2, Asked { told: vec![(SECOND * 12, Told::Cut)], ..fine('b') });
    found(&never, "b never served again");
    let (mut late, at) = (books(|_| {}), SECOND * 71);
    late.requests.insert(2, Asked { at, told: vec![(at, Told::Complete)], ..fine('b') });
    found(&late, "b served again only 61s");
    let mut broken = books(|_| {});
    broken.requests.insert(3, Asked { told: vec![(SECOND * 12, Told::Cut)], ..fine('b') });
    found(&broken, "and then broke 1 requests");
    broken.taken_over.insert('b', SECOND * 9);
    found(&broken, "and then broke 1 requests");
    broken.taken_over.insert('b', SECOND * 12);
    assert_eq!(broken.violations(BOUNDS), Vec::<String>::new(), "it was cut by the takeover");
}

#[test]
fn who_asked_before_service_was_back_may_be_refused() {
    let mut books = books(|_| {});
    let refused = |at| Asked {
        at,
        told: vec![(at, Told::Error(503))],
        delivered: Vec::new(),
        delivered_at: None,
        ..fine('b')
    };
    // It was asked after the one that is served, and overtook it.
    let served = Asked { at: SECOND * 12, told: vec![(SECOND * 15, Told::Complete)], ..fine('b') };
    books.requests.insert(2, Asked { delivered_at: Some(SECOND * 14), ..served });
    books.requests.insert(3, refused(SECOND * 13));
    assert_eq!(books.violations(BOUNDS), Vec::<String>::new());
    books.requests.insert(3, refused(SECOND * 14));
    found(&books, "and then broke 1 requests");
}

#[test]
fn what_is_said_too_late_is_found() {
    let mut books = books(|_| {});
    let noticed = |took| Noticed { what: "the link is dead".to_owned(), took, within: SECOND * 25 };
    books.noticed.push(noticed(SECOND * 25));
    assert_eq!(books.violations(BOUNDS), Vec::<String>::new());
    books.noticed.push(noticed(SECOND * 26));
    found(&books, "the link is dead only after 26s");
}

#[test]
fn answer_times_are_those_of_whole_answers_in_their_time() {
    let mut books = books(|asked| asked.told = vec![(SECOND * 30, Told::Cut)]);
    books
        .requests
        .insert(4, Asked { at: SECOND * 20, told: vec![(SECOND * 23, Told::Complete)], ..fine('a') });
    assert_eq!(books.answer_times('a', SECOND * 10..SECOND * 20), [SECOND]);
    let all = SECOND * 10..SECOND * 21;
    assert_eq!(books.answer_times('a', all.clone()), [SECOND, SECOND * 3]);
    let answer = Answer { request: String::new(), status: 200, in_bytes: 0, out_bytes: 10 };
    books.requests.entry(4).and_modify(|asked| asked.answer = Some(answer));
    assert_eq!(books.small_answer_times('a', all.clone(), 10), [SECOND * 3]);
    assert!(books.small_answer_times('a', all, 9).is_empty());
}

/// A request that was sent before everything was healed ended like this.
fn before(told: Told) -> Books {
    books(|asked| {
        asked.at = SECOND * 9;
        asked.told = vec![(SECOND * 10, told)];
    })
}
