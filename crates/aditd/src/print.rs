//! What the program says on its standard streams.

use std::io::{self, Write};

use serde::Serialize;

/// Prints an error with its causes, the most telling last.
pub(crate) fn error(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "error: {}", chain(error));
}

/// An error with its causes. Some libraries repeat a cause in the error above it; then it is said once.
fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            said if said.ends_with(&cause) => text,
            said => format!("{said}: {cause}"),
        }
    })
}

/// Prints one line. A reader that has gone away is no error.
pub(crate) fn line(text: &str) -> io::Result<()> {
    forgiving(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints a remark beside what was asked for: on the standard error stream, so that pipes get only the answer.
pub(crate) fn note(text: &str) -> io::Result<()> {
    forgiving(writeln!(io::stderr(), "{text}"))
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(&serde_json::to_string(value)?)?)
}

/// Prints rows in aligned columns under their headings.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = headings.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let format = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(&format(headings))?;
    rows.iter().try_for_each(|row| line(&format(row.each_ref().map(String::as_str))))
}

fn forgiving(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::chain;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow!("no such host").context("cannot connect: no such host").context("not opened");
        assert_eq!(chain(&error), "not opened: cannot connect: no such host");
    }
}
