//! `docs/limits.md`: every bound, from the constants in each crate's `limits.rs` and their doc comments.

use super::number::grouped;
use super::tree::{Finding, Tree};

/// The page, from the root.
pub const PAGE: &str = "docs/limits.md";

const HEAD: &str = "\
# Limits

Everything that Adit holds has a bound. These are the constants, crate by crate; limits that a plan sets are not here.
`cargo xtask limits` writes this page from each crate's `limits.rs`, and `cargo xtask tidy` fails when it is out of date.
";

/// Bounds of tests and tools are nobody's promise.
pub const NOT_SHIPPED: [&str; 4] = ["bench", "e2e", "testkit", "xtask"];

/// A bound: its name, its value as people read it, and what it bounds.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    name: String,
    value: String,
    about: String,
}

/// Finds a page that is not what the sources say.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let why = "the page is read instead of the sources, so it says the same (`cargo xtask limits` writes it)";
    let have = tree.file(PAGE).map_or("", |file| &file.text);
    if have == page(tree) { Vec::new() } else { vec![Finding::fails(PAGE, "out of date", why)] }
}

/// The page as the sources say it.
pub fn page(tree: &Tree) -> String {
    let sections =
        tree.crates.iter().filter(|krate| !NOT_SHIPPED.contains(&krate.name.as_str())).map(|krate| {
            let files = tree.rust_files_of(krate, "src/").filter(|file| file.path.ends_with("/limits.rs"));
            section(&krate.name, files.flat_map(|file| bounds(&file.text)).collect())
        });
    std::iter::once(HEAD.to_owned()).chain(sections).collect()
}

fn section(name: &str, bounds: Vec<Bound>) -> String {
    if bounds.is_empty() {
        return String::new();
    }
    let rows: Vec<String> = bounds
        .into_iter()
        .map(|Bound { name, value, about, .. }| format!("| `{name}` | {value} | {about} |"))
        .collect();
    let rows = rows.join("\n");
    format!("\n## {name}\n\n| constant | value | what it bounds |\n| --- | --- | --- |\n{rows}\n")
}

/// The public constants of a `limits.rs`, in order.
fn bounds(source: &str) -> Vec<Bound> {
    let mut found = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(doc) = line.strip_prefix("///") {
            about.push(doc.trim());
        } else if let Some(declared) =
            line.strip_prefix("pub const ").or_else(|| line.strip_prefix("pub(crate) const "))
        {
            let mut declaration = declared.to_owned();
            while !declaration.contains(';') {
                let Some(more) = lines.next() else { break };
                declaration = format!("{declaration} {more}");
            }
            found.extend(bound(&declaration, &about));
            about.clear();
        } else if !line.starts_with("#[") {
            about.clear();
        }
    }
    found
}

/// Their names, in order.
pub fn names(source: &str) -> Vec<String> {
    bounds(source).into_iter().map(|bound| bound.name).collect()
}

/// `NAME: TYPE = VALUE;` with the first paragraph of its docs; `None` for what is no declaration.
fn bound(declaration: &str, docs: &[&str]) -> Option<Bound> {
    let (declaration, _) = declaration.split_once(';')?;
    let (left, value) = declaration.split_once('=')?;
    let (name, _) = left.split_once(':')?;
    let paragraph: Vec<&str> = docs.iter().copied().take_while(|line| !line.is_empty()).collect();
    let about = unlinked(&paragraph.join(" ")).replace('|', "\\|");
    Some(Bound { name: name.trim().to_owned(), value: readable(value.trim()), about })
}

/// Docs without rustdoc's links to items: of a linked name in backquotes, the name in backquotes stays.
fn unlinked(docs: &str) -> String {
    let mut parts = docs.split("[`");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("`]").unwrap_or((part, ""));
        let rest =
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
        text.push('`');
        text.push_str(name);
        text.push('`');
        text.push_str(rest);
    }
    text
}

/// A value as people read it: times with their unit, products worked out, anything else as the code that it is.
fn readable(value: &str) -> String {
    if let Some(number) = product(value) {
        return with_binary_unit(number);
    }
    let time = |prefix: &str| value.strip_prefix(prefix)?.strip_suffix(')').and_then(product);
    let units = [
        ("from_secs(", "s"),
        ("from_millis(", "ms"),
        ("from_micros(", "µs"),
        ("from_mins(", "min"),
        ("from_hours(", "h"),
    ];
    for (constructor, unit) in units {
        if let Some(number) = time(&format!("Duration::{constructor}")) {
            return format!("{} {unit}", grouped(number));
        }
    }
    format!("`{}`", value.replace('|', "\\|"))
}

/// Whole numbers, multiplied; `None` for anything else.
fn product(value: &str) -> Option<u64> {
    value.split('*').try_fold(1_u64, |product, factor| {
        let digits = factor.trim().replace('_', "");
        let digits = digits.trim_end_matches("usize").trim_end_matches(['u', 'i']);
        product.checked_mul(digits.parse().ok()?)
    })
}

/// Whole multiples of 1024 as that unit, with the number beside.
fn with_binary_unit(number: u64) -> String {
    let units = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    match units.into_iter().find(|(size, _)| number >= *size && number.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{} ({} {unit})", grouped(number), number / size),
        None => grouped(number),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{Bound, PAGE, bounds, check, page, readable};

    const SOURCE: &str = "\
//! Bounds.
use std::time::Duration;

/// Bytes of a frame,
/// with its header, see [`IDLE`] and
/// [`X`](crate::X).
///
/// More that the page leaves out.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Quiet time.
pub const IDLE: Duration =
    Duration::from_secs(10);
const PRIVATE: u8 = 1;
";

    fn tree() -> Tree {
        Tree::default().with_crate("wire", |_| ()).with_file("crates/wire/src/limits.rs", SOURCE)
    }

    #[test]
    fn constants_are_read_with_their_docs() {
        let bound = |name: &str, value: &str, about: &str| Bound {
            name: name.into(),
            value: value.into(),
            about: about.into(),
        };
        let expected = [
            bound(
                "FRAME_BYTES_MAX",
                "16,384 (16 Ki)",
                "Bytes of a frame, with its header, see `IDLE` and `X`.",
            ),
            bound("IDLE", "10 s", "Quiet time."),
        ];
        assert_eq!(bounds(SOURCE), expected);
    }

    #[test]
    fn values_are_readable_or_code() {
        let cases = [
            ("100", "100"),
            ("16_368", "16,368"),
            ("1 << 4", "`1 << 4`"),
            ("Duration::from_millis(250)", "250 ms"),
            ("Duration::from_secs(24 * 3600)", "86,400 s"),
            ("FRAME_MAX - 2", "`FRAME_MAX - 2`"),
        ];
        for (value, text) in cases {
            assert_eq!(readable(value), text);
        }
    }

    #[test]
    fn a_page_that_differs_fires() {
        fires(&check(&tree()), &["docs/limits.md", "out of date", "cargo xtask limits"]);
        let with_page = tree().with_file(PAGE, &page(&tree()));
        passes(&check(&with_page));
    }
}
