//! Rust source as text: without comments and strings, without tests, as words, as paths.
//!
//! Not a parser: enough to ask what a file names. What it blanks keeps its line numbers.

use std::iter::Peekable;
use std::str::Chars;

/// The source with comments and the insides of strings and characters blanked.
pub fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (kept, blanked) = match first {
            '/' if rest.starts_with("//") => (0, line_comment(rest)),
            '/' if rest.starts_with("/*") => (0, block_comment(rest)),
            '"' => (0, quoted(rest)),
            '\'' => (0, character(rest)),
            'r' | 'b' | 'c' => literal_prefix(rest),
            c if is_word(c) => (word(rest).len(), 0),
            c => (c.len_utf8(), 0),
        };
        // A lone quote is a lifetime's: it is kept as it is.
        let (kept, blanked) = if kept + blanked == 0 { (first.len_utf8(), 0) } else { (kept, blanked) };
        let (keep, tail) = rest.split_at(kept);
        let (blank, tail) = tail.split_at(blanked);
        out.push_str(keep);
        out.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = tail;
    }
    out
}

fn line_comment(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a string that starts here, with its quotes.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character that starts here; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest.get(3..).and_then(|tail| tail.find('\'')).map_or(0, |at| at + 4),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// At `r`, `b` or `c`: a prefixed or raw string, which is blanked, or a word, which is kept.
fn literal_prefix(rest: &str) -> (usize, usize) {
    let prefix = word(rest);
    let tail = rest.get(prefix.len()..).unwrap_or_default();
    match prefix {
        "b" | "c" if tail.starts_with('"') => (0, prefix.len() + quoted(tail)),
        "b" if tail.starts_with('\'') => (0, prefix.len() + character(tail)),
        "r" | "br" | "cr" => {
            let hashes: String = tail.chars().take_while(|c| *c == '#').collect();
            if tail.get(hashes.len()..).is_none_or(|tail| !tail.starts_with('"')) {
                return (prefix.len(), 0);
            }
            let end = format!("\"{hashes}");
            let body = tail.get(hashes.len() + 1..).unwrap_or_default();
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            (0, prefix.len() + hashes.len() + 1 + length)
        }
        _ => (prefix.len(), 0),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(rest: &str) -> &str {
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

/// Code (as `code_only` leaves it) without the items behind `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        let (before, test) = rest.split_at(at);
        out.push_str(before);
        let (skipped, tail) = test.split_at(TEST.len() + item(test.get(TEST.len()..).unwrap_or_default()));
        out.extend(skipped.chars().filter(|c| *c == '\n'));
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// The items behind `#[cfg(test)]` alone.
pub fn only_tests(code: &str) -> String {
    let items = code.split("#[cfg(test)]").skip(1);
    items.map(|rest| rest.get(..item(rest)).unwrap_or_default()).collect()
}

/// Whether this name stands in the code, as a whole.
pub fn names(code: &str, name: &str) -> bool {
    code.split(|c| !is_word(c)).any(|word| word == name)
}

/// The length of the item that starts here: to its `;`, or to the brace that closes its first.
fn item(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

/// A path as it is written: `crate::a::B`, with groups unfolded.
pub type Path = Vec<String>;

/// Every path that begins with `crate`, `super` or `self`, with the number of its line.
pub fn local_paths(code: &str) -> Vec<(usize, Path)> {
    let mut found = Vec::new();
    for (number, start) in starts(code) {
        let mut chars = code.get(start..).unwrap_or_default().chars().peekable();
        let mut paths = Vec::new();
        tree(&mut chars, &[], &mut paths);
        found.extend(paths.into_iter().map(|(path, _)| (number, path)));
    }
    found
}

/// What `pub use` and `pub(…) use` make of other modules' items: the new name, and the path it stands for.
pub fn reexports(code: &str) -> Vec<(String, Path)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("pub") {
        let tail = code.get(at + 3..).unwrap_or_default().trim_start();
        let tail = match tail.strip_prefix('(') {
            Some(inside) => inside.split_once(')').map_or("", |(_, tail)| tail).trim_start(),
            None => tail,
        };
        if let Some(used) = tail.strip_prefix("use ") {
            let mut paths = Vec::new();
            tree(&mut used.chars().peekable(), &[], &mut paths);
            for (path, alias) in paths {
                if let Some(name) = alias.or_else(|| path.last().cloned()) {
                    found.push((name, path));
                }
            }
        }
    }
    found
}

/// The line and the byte where each local path begins. `super::super::x` begins once.
fn starts(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut line, mut at) = (1, 0);
    while let Some((before, tail)) = code.split_at_checked(at).filter(|(_, tail)| !tail.is_empty()) {
        let word = word(tail);
        if word.is_empty() {
            let c = tail.chars().next().unwrap_or(' ');
            line += usize::from(c == '\n');
            at += c.len_utf8();
            continue;
        }
        let leads = tail.get(word.len()..).is_some_and(|next| next.trim_start().starts_with("::"));
        if leads && matches!(word, "crate" | "super" | "self") && !before.trim_end().ends_with("::") {
            found.push((line, at));
        }
        at += word.len();
    }
    found
}

/// Reads a use tree: `a::{b::C, d as E}` gives `a::b::C` and `a::d`, the latter with its alias.
fn tree(chars: &mut Peekable<Chars<'_>>, prefix: &[String], found: &mut Vec<(Path, Option<String>)>) {
    let mut path = prefix.to_vec();
    loop {
        skip_blank(chars);
        match chars.peek() {
            Some('{') => {
                chars.next();
                return group(chars, &path, found);
            }
            Some(c) if is_word(*c) => path.push(take_word(chars)),
            _ => break,
        }
        skip_blank(chars);
        let mut ahead = chars.clone();
        if ahead.next() != Some(':') || ahead.next() != Some(':') {
            break;
        }
        *chars = ahead;
    }
    let alias = take_alias(chars);
    if path.len() > prefix.len() {
        found.push((path, alias));
    }
}

fn group(chars: &mut Peekable<Chars<'_>>, prefix: &[String], found: &mut Vec<(Path, Option<String>)>) {
    loop {
        tree(chars, prefix, found);
        skip_blank(chars);
        match chars.next() {
            Some(',') => {}
            _ => return,
        }
    }
}

fn take_alias(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut ahead = chars.clone();
    skip_blank(&mut ahead);
    if take_word(&mut ahead) != "as" {
        return None;
    }
    skip_blank(&mut ahead);
    let alias = take_word(&mut ahead);
    *chars = ahead;
    Some(alias)
}

fn skip_blank(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

fn take_word(chars: &mut Peekable<Chars<'_>>) -> String {
    std::iter::from_fn(|| chars.next_if(|c| is_word(*c))).collect()
}

#[cfg(test)]
mod tests;
