#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::{COLUMNS, Closed, Console, Tone, clean, wrap};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(color: bool, print: impl FnOnce(&mut Console)) -> String {
    let (out, err) = (Shared::default(), Shared::default());
    let mut console = Console {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        out_color: color,
        err_color: color,
    };
    print(&mut console);
    let bytes = [out.0.lock().unwrap().as_slice(), err.0.lock().unwrap().as_slice()].concat();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn columns_align() {
    let text = shown(false, |console| {
        console.field("Session Status", "online", Tone::Good).unwrap();
        console.field("Forwarding", "https://demo.example -> http://localhost:3000", Tone::Plain).unwrap();
    });
    assert_eq!(
        text,
        "Session Status  online\nForwarding      https://demo.example -> http://localhost:3000\n"
    );
}

#[test]
fn a_long_address_moves_the_arrow_to_the_next_line() {
    let host = "a".repeat(40);
    let text = shown(false, |console| {
        let value = format!("https://{host}.example ->\u{a0}http://localhost:3000");
        console.field("Forwarding", &value, Tone::Plain).unwrap();
    });
    assert_eq!(
        text,
        format!("Forwarding      https://{host}.example\n                -> http://localhost:3000\n")
    );
    assert!(text.lines().all(|line| line.len() <= COLUMNS));
}

#[test]
fn colour_adds_nothing_but_colour() {
    let print = |console: &mut Console| {
        console.field("Session Status", "online", Tone::Good).unwrap();
        console.trouble(Tone::Bad, "error", "nothing is listening", "start it");
    };
    let (plain, colored) = (shown(false, print), shown(true, print));
    assert!(!plain.contains('\u{1b}') && colored.contains("\u{1b}[32monline\u{1b}[0m"));
    let without = colored.replace("\u{1b}[32m", "").replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
    assert_eq!(without, plain);
}

#[test]
fn trouble_says_what_to_do_and_fits() {
    let text = shown(false, |console| {
        console.trouble(Tone::Bad, "error", &"word ".repeat(40), &"advice ".repeat(30));
    });
    assert!(text.starts_with("error: word word") && text.contains("\n  advice advice"));
    assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
}

#[test]
fn wrapping_counts_to_the_column() {
    for (used, lines) in [(COLUMNS - 2, 1), (COLUMNS - 1, 2), (COLUMNS, 2)] {
        assert_eq!(wrap(". .", used - 1, 0).lines().count(), lines, "{used}");
    }
    assert_eq!(wrap(&"x".repeat(100), 0, 2).lines().count(), 1);
}

#[test]
fn nobody_outside_commands_the_terminal() {
    assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d");
    assert_eq!(clean(&"x".repeat(1000)).len(), 512);
}

#[test]
fn a_reader_that_left_is_noticed() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut console =
        Console { out: Box::new(Gone), err: Box::new(Gone), out_color: false, err_color: false };
    assert!(matches!(console.line("x"), Err(Closed)));
    console.trouble(Tone::Bad, "error", "x", "y");
}
