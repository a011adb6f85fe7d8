//! What people read: two streams of text, nothing wider than 80 columns, colour only where it can be seen.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// No line that can be broken is wider.
const COLUMNS: usize = 80;

/// Where values begin: after `Session Status` and two spaces.
const VALUE_COLUMN: usize = 16;

/// A space at which no line is broken.
const TIE: char = '\u{a0}';

/// Longest text from outside that is shown, in characters.
const FOREIGN_CHARS_MAX: usize = 512;

/// The terminal, or whatever stands in its place.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_color: bool,
    err_color: bool,
}

/// What a colour means. A word always says the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

/// Nobody reads what is written any more (`adit … | head`), or it cannot be written.
#[derive(Debug)]
pub struct Closed;

impl Console {
    /// Standard output and standard error. `color` says whether the user's environment allows colour at all.
    pub fn standard(color: bool) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_color, err_color) = (color && out.is_terminal(), color && err.is_terminal());
        Self { out: Box::new(out), err: Box::new(err), out_color, err_color }
    }

    /// One line of output as it is, for programs.
    pub fn line(&mut self, line: &str) -> Result<(), Closed> {
        write_out(&mut *self.out, format_args!("{line}\n"))
    }

    /// A name and its value, aligned. A value that does not fit goes on in the next line, at a space.
    pub fn field(&mut self, name: &str, value: &str, tone: Tone) -> Result<(), Closed> {
        // Painted after it was laid out. The first word carries the tone.
        let value = wrap(&clean(value), VALUE_COLUMN, VALUE_COLUMN).replace(TIE, " ");
        let (word, rest) = value.split_at(value.find([' ', ':']).unwrap_or(value.len()));
        let word = paint(word, tone, self.out_color);
        write_out(&mut *self.out, format_args!("{name:<VALUE_COLUMN$}{word}{rest}\n"))
    }

    /// What went wrong and what to do, to standard error, so that pipes of the output stay clean.
    pub fn trouble(&mut self, tone: Tone, word: &str, happened: &str, advice: &str) {
        let happened = wrap(&clean(happened), word.chars().count() + 2, 2);
        let mut text = format!("{}: {happened}\n", paint(word, tone, self.err_color));
        if !advice.is_empty() {
            text.push_str("  ");
            text.push_str(&wrap(&clean(advice), 2, 2));
            text.push('\n');
        }
        // With standard error gone there is nobody left to tell.
        drop(write_out(&mut *self.err, format_args!("{text}")));
    }

    /// Text that was laid out by others, such as help, to standard error.
    pub fn raw_error(&mut self, text: &dyn Display) {
        drop(write_out(&mut *self.err, format_args!("{text}")));
    }

    /// Text that was laid out by others, such as help.
    pub fn raw(&mut self, text: &dyn Display) -> Result<(), Closed> {
        write_out(&mut *self.out, format_args!("{text}"))
    }
}

fn write_out(to: &mut dyn Write, text: std::fmt::Arguments<'_>) -> Result<(), Closed> {
    to.write_fmt(text).and_then(|()| to.flush()).map_err(|_| Closed)
}

fn paint(text: &str, tone: Tone, color: bool) -> String {
    match code(tone).filter(|_| color) {
        Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        None => text.to_owned(),
    }
}

const fn code(tone: Tone) -> Option<u8> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some(32),
        Tone::Warning => Some(33),
        Tone::Bad => Some(31),
    }
}

/// Text from outside without what a terminal would obey (escape sequences, line breaks), and not endless.
fn clean(text: &str) -> String {
    let visible = |c: char| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c };
    text.chars().take(FOREIGN_CHARS_MAX).map(visible).collect()
}

/// Characters that show text in another order than it is in (Unicode, UAX #9).
const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Breaks text at spaces so that no line is wider than [`COLUMNS`]. The first line has `used` columns before it, the
/// others are indented by `indent`. A word that is too wide stands alone.
fn wrap(text: &str, used: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = used;
    for (at, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > COLUMNS {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if at > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

#[cfg(test)]
mod tests;
