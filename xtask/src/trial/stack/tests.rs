#![expect(clippy::unwrap_used, reason = "a test whose folder cannot be written has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Place, Public, Stack, last_lines, quoted};
use crate::interrupt::Interrupt;

/// Programs that stand in for the real ones. They are files of the repository: a script that a test has just written
/// cannot be started while another thread starts something.
fn programs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

#[test]
fn a_stack_starts_and_leaves_nothing() {
    let stack = Stack::start(&programs("serves"), &Interrupt::default(), 3000).unwrap();
    assert_eq!(stack.http_url(), "http://a.localhost:2");
    let folder = stack.folder().to_path_buf();
    let mode = fs::metadata(stack.config_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(stack);
    assert!(!folder.exists());
}

#[test]
fn an_agent_that_gives_up_is_named_with_its_last_words() {
    let error = Stack::start(&programs("gives-up"), &Interrupt::default(), 3000).unwrap_err().to_string();
    assert!(error.contains("agent ended by itself") && error.contains("no such key"), "{error}");
}

#[test]
fn a_program_that_dies_while_it_serves_is_named() {
    let mut stack = Stack::start(&programs("dies"), &Interrupt::default(), 3000).unwrap();
    let error = stack.serve_until(&Interrupt::default()).unwrap_err().to_string();
    assert!(error.contains("agent ended by itself") && error.contains("it was me"), "{error}");
}

#[test]
fn the_ready_file_is_read_whole_or_not_at_all() {
    let ready = json!({"https_port": 8443, "http_port": 8080, "domain": "localhost", "app_host": "localhost",
                       "ca_file": "/tmp/ca.pem"});
    let place = Place::of(&ready).unwrap();
    assert_eq!((place.https_port, place.http_port), (8443, 8080));
    assert!(Place::of(&json!({"https_port": 70000, "http_port": 1})).is_none());
}

#[test]
fn the_url_is_read_when_visitors_get_through() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.events");
    assert!(Public::from_events(&file).is_none());
    fs::write(&file, "{\"event\":\"connected\"}\n{\"event\":\"url_ass").unwrap();
    assert!(Public::from_events(&file).is_none());
    let assigned =
        json!({"event": "url_assigned", "url": "https://a.localhost:1", "hostname": "a.localhost"});
    fs::write(&file, format!("{{\"event\":\"connected\"}}\n{assigned}\n")).unwrap();
    assert_eq!(Public::from_events(&file).unwrap().host, "a.localhost");
}

#[test]
fn the_last_lines_are_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (1..=25).map(|number| format!("line {number}")).collect();
    fs::write(folder.path().join("aditd.log"), lines.join("\n")).unwrap();
    let shown = last_lines(folder.path(), "aditd");
    assert!(shown.starts_with("  line 6\n") && shown.ends_with("  line 25"), "{shown}");
}

#[test]
fn a_path_with_a_blank_is_quoted() {
    assert_eq!(quoted(Path::new("/tmp/adit-try-1/ca.pem")), "/tmp/adit-try-1/ca.pem");
    assert_eq!(quoted(Path::new("/tmp/it's here")), "'/tmp/it'\\''s here'");
}
