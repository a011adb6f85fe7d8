//! Every bound, of a number or of a time, stands in a test, or here with a reason.

use super::limits_page::{NOT_SHIPPED, names};
use super::rust_text;
use super::tree::{Crate, File, Finding, Tree};

/// Bounds that no test names: crate, constant, and why not.
const UNTESTED: [(&str, &str, &str); 38] = [
    ("agent", "FERRY_BYTES", "a piece of what is read, however long that is"),
    ("agent", "FLOWS_MAX", "as many sockets as a process under test may not have"),
    ("agent", "OUTPUT_FLUSH", "for who reads a pipe slowly while the program ends"),
    ("control-plane", "CHANGES_POLL_INTERVAL", "a wait between two looks: all is seen in the end"),
    ("control-plane", "CLOCK_DOUBTED_FOR", "a wait between two rounds, each of which is tested"),
    ("control-plane", "HOUSEKEEPING_INTERVAL", "a wait between two rounds, each of which is tested"),
    ("control-plane", "USAGE_KEPT", "more than a year; what deletes older rows is tested"),
    ("domain", "API_KEY_SECRET_BYTES", "part of a format, whose texts are tested"),
    (
        "mux",
        "CREDIT_UNSENT_BYTES_MAX",
        "what is beyond waits at its streams: nothing is lost or held but once",
    ),
    ("mux", "DATAGRAMS_IN_A_ROW", "a turn, not a bound: all come in the end"),
    ("mux", "DATAGRAM_BYTES_KEPT", "memory of one idle stream, which nobody sees"),
    ("mux", "LINE_BYTES_PER_US", "a factor of the window, whose course is tested"),
    ("mux", "QUEUE_FRAMES_ALONE", "within the memory of a stream, which is tested as a whole"),
    ("mux", "QUEUE_FRAMES_SHARED", "within the memory of a stream, which is tested as a whole"),
    ("mux", "STREAMS_OPENED_IN_ALL", "a thousand million; tests set it lower"),
    ("mux", "YAMUX_HEADROOM_BYTES", "no bound: it lies beyond our own credit, which is tested"),
    ("net", "HELLO_READ_BYTES", "a piece of what is read, however long that is"),
    ("net", "LISTEN_BACKLOG", "kept by the operating system, which may have a lower one"),
    ("net", "UDP_RECEIVE_BYTES", "asked of the operating system, which may have a lower one"),
    ("process", "LOG_FLUSH_LOOK", "a wait between two looks, within the whole time, which is tested"),
    ("server", "CONNECTIONS_MAX", "the value of a setting that tests set lower"),
    ("server", "CONNECTIONS_OF_DESCRIPTORS_PERCENT", "a share, tested with what it comes to"),
    ("server", "CONNECTIONS_PER_ADDRESS_MAX", "the value of a setting that tests set lower"),
    ("server", "DATAGRAMS_READ_IN_A_ROW", "a turn, not a bound: all come in the end"),
    ("server", "DATAGRAM_READ_BACKOFF", "no test can make a socket fail so that it pauses"),
    ("server", "PORT_RENEWAL_INTERVAL", "a wait between two rounds, many of which may fail"),
    ("server", "STREAMS_OF_MEMORY_PERCENT", "a share, tested with what it comes to"),
    ("server", "VISITOR_UNSENT_BYTES_MAX", "kept by rustls; the memory of readers that stall is measured"),
    ("store", "PORT_ROUNDS", "only another tenant at the same moment makes a second round"),
    ("store", "POSTGRES_CONNECTIONS_MAX", "kept by the pool"),
    ("store", "SERVER_LOCK_KEEPALIVE_SECS", "kept by Postgres"),
    ("store", "SILENCE_TOLD_AFTER", "when the log speaks of what is waited for all the same"),
    ("store", "SQLITE_BUSY_RETRY", "a wait between two tries, within the whole time"),
    ("store", "SQLITE_READERS_MAX", "kept by the pool"),
    ("web", "BUFFER_BYTES_MAX", "more than a head may have, which is tested"),
    ("web", "H2_SEND_BUFFER_BYTES_MAX", "kept by h2; the memory of readers that stall is measured"),
    ("web", "LINGER_READ_BYTES", "a piece of what is read, however long that is"),
    ("wire", "CONTROL_HEADER_BYTES", "part of a format, which the golden vectors hold"),
];

/// Finds bounds that no test names, and reasons for none that are not needed.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let crates = tree.crates.iter().filter(|krate| !NOT_SHIPPED.contains(&krate.name.as_str()));
    crates.flat_map(|krate| of_crate(tree, krate)).collect()
}

fn of_crate(tree: &Tree, krate: &Crate) -> Vec<Finding> {
    let why = "a bound that no test reaches is a wish: test it just below, at and just above";
    let place = format!("{}/src/limits.rs", krate.folder);
    let bounds = tree.file(&place).map(|file| names(&file.text)).unwrap_or_default();
    let tests = tests(tree, krate);
    let mut found = Vec::new();
    for name in bounds {
        let is_named = tests.iter().any(|text| rust_text::names(text, &name));
        let is_excused =
            UNTESTED.iter().any(|(of, excused, _)| (*of, *excused) == (krate.name.as_str(), &name));
        match (is_named, is_excused) {
            (false, false) => found.push(Finding::fails(&place, format!("no test names `{name}`"), why)),
            (true, true) => {
                found.push(Finding::fails(&place, format!("`{name}` is tested and excused from it"), why));
            }
            _ => {}
        }
    }
    found
}

/// The tests of a crate, and those of others that look at its bounds.
fn tests(tree: &Tree, krate: &Crate) -> Vec<String> {
    let (own, path) =
        (format!("{}/", krate.folder), format!("adit_{}::limits", krate.name.replace('-', "_")));
    let concerns = |file: &&File| file.path.starts_with(&own) || file.text.contains(&path);
    tree.rust_files().filter(concerns).map(of_tests).collect()
}

/// The part of a file that only tests have.
fn of_tests(file: &File) -> String {
    let code = rust_text::code_only(&file.text);
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    if is_test { code } else { rust_text::only_tests(&code) }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{UNTESTED, check};

    /// Bounds of a number and of times, and how each is declared.
    const BOUNDS: [(&str, &str); 3] = [
        ("ROWS_MAX", "pub const ROWS_MAX: usize = 5;"),
        ("PATIENCE", "pub const PATIENCE: Duration = Duration::from_secs(1);"),
        ("PINGS", "pub const PINGS: RangeInclusive<Duration> = A..=B;"),
    ];

    fn tree(declaration: &str) -> Tree {
        Tree::default().with_crate("store", |_| ()).with_file("crates/store/src/limits.rs", declaration)
    }

    #[test]
    fn a_bound_without_a_test_fires() {
        let places = [
            ("crates/store/src/rows.rs", "fn a() { BOUND }"),
            ("crates/store/src/rows.rs", "#[cfg(test)]\nmod tests { fn a() {} }\nfn b() { BOUND }"),
            ("crates/store/src/rows.rs", "#[cfg(test)]\nmod tests { // BOUND\n}"),
            ("crates/store/tests/rows.rs", "fn a() { BOUND_2 }"),
            ("crates/web/tests/rows.rs", "use crate::limits::BOUND;"),
        ];
        for (name, declaration) in BOUNDS {
            fires(&check(&tree(declaration)), &["crates/store/src/limits.rs", name, "just above"]);
            for (path, text) in places {
                let text = text.replace("BOUND", name);
                fires(&check(&tree(declaration).with_file(path, &text)), &[name]);
            }
        }
    }

    #[test]
    fn a_bound_in_a_test_passes() {
        let places = [
            ("crates/store/src/rows.rs", "fn b() {}\n#[cfg(test)]\nmod tests { fn a() { BOUND } }"),
            ("crates/store/src/rows/tests.rs", "fn a() { BOUND }"),
            ("crates/store/tests/rows.rs", "fn a() { BOUND + 1 }"),
            ("crates/web/tests/rows.rs", "use adit_store::limits::BOUND;"),
        ];
        for (name, declaration) in BOUNDS {
            for (path, text) in places {
                passes(&check(&tree(declaration).with_file(path, &text.replace("BOUND", name))));
            }
            let bench = Tree::default().with_crate("bench", |_| ());
            passes(&check(&bench.with_file("crates/bench/src/limits.rs", declaration)));
        }
    }

    #[test]
    fn a_reason_that_is_not_needed_fires() {
        let limits = "pub const PORT_ROUNDS: u32 = 4;";
        let excused =
            Tree::default().with_crate("store", |_| ()).with_file("crates/store/src/limits.rs", limits);
        passes(&check(&excused));
        let tested = excused.with_file("crates/store/tests/ports.rs", "fn a() { PORT_ROUNDS }");
        fires(&check(&tested), &["`PORT_ROUNDS`", "excused"]);
    }

    #[test]
    fn reasons_are_in_order() {
        assert!(UNTESTED.is_sorted());
    }
}
