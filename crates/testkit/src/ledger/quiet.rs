//! K10: a log without panics, without secrets, and short enough for somebody to read.

/// What is wrong with the log of a process that nobody was to bring down.
#[must_use]
pub fn quiet(log: &str, secrets: &[String], lines_max: usize) -> Vec<String> {
    let mut found = Vec::new();
    let panics = log.lines().filter(|line| line.contains("panicked"));
    found.extend(panics.map(|line| format!("a task panicked: {line}")));
    // Not which: this is printed.
    found.extend(
        secrets.iter().filter(|secret| log.contains(*secret)).map(|_| "a secret in the log".to_owned()),
    );
    let lines = log.lines().count();
    if lines > lines_max {
        found.push(format!("{lines} lines of log"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::quiet;

    #[test]
    fn panics_secrets_and_storms_are_found() {
        let secrets = ["adit_secret".to_owned()];
        assert_eq!(quiet("one\ntwo\n", &secrets, 2), Vec::<String>::new());
        assert_eq!(quiet("one\ntwo\nthree\n", &secrets, 2), ["3 lines of log"]);
        assert_eq!(quiet("a task panicked; the others go on", &secrets, 2).len(), 1);
        assert_eq!(quiet("key=adit_secret", &secrets, 2), ["a secret in the log"]);
    }
}
