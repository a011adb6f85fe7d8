//! Rules about single Rust files.

use super::number::grouped;
use super::rust_text;
use super::tree::{File, Finding, Tree};

/// Lines from which on a file is told to split.
const LINES_GOOD_MAX: usize = 400;

/// Lines that no file may exceed.
const LINES_MAX: usize = 600;

/// Finds files that are too long for one idea.
pub fn length(tree: &Tree) -> Vec<Finding> {
    let why = "one noun per file: a long one holds two";
    let too_long = |file: &File| {
        let lines = file.text.lines().count();
        let what = || format!("{} lines, more than {LINES_GOOD_MAX}", grouped(lines as u64));
        match lines {
            _ if lines > LINES_MAX => Some(Finding::fails(&file.path, what(), why)),
            _ if lines > LINES_GOOD_MAX => Some(Finding::warns(&file.path, what(), why)),
            _ => None,
        }
    };
    tree.rust_files().filter_map(too_long).collect()
}

/// Finds files named `mod.rs`.
pub fn mod_rs(tree: &Tree) -> Vec<Finding> {
    let why = "`foo.rs` beside `foo/`: an editor full of tabs that say `mod.rs` says nothing";
    tree.rust_files()
        .filter(|file| file.path.ends_with("/mod.rs"))
        .map(|file| Finding::fails(&file.path, "a file named `mod.rs`", why))
        .collect()
}

/// Finds tests that are switched off.
pub fn ignored_tests(tree: &Tree) -> Vec<Finding> {
    let why = "a test that does not run decays; one that is too large reads ADIT_TEST_FULL and runs small without it";
    attribute(tree, "ignore", "an ignored test", why)
}

/// Finds lints that are allowed where they should be expected.
pub fn allows(tree: &Tree) -> Vec<Finding> {
    let why = "`#[expect(lint, reason = \"…\")]` says why, and warns when it is no longer needed";
    attribute(tree, "allow", "a lint that is allowed", why)
}

fn attribute(tree: &Tree, name: &str, what: &str, why: &'static str) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust_files() {
        for (index, line) in rust_text::code_only(&file.text).lines().enumerate() {
            if has_attribute(line, name) {
                found.push(Finding::fails(format!("{}:{}", file.path, index + 1), what, why));
            }
        }
    }
    found
}

fn has_attribute(line: &str, name: &str) -> bool {
    let dense: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    ["#[", "#!["].iter().any(|open| {
        dense.match_indices(&format!("{open}{name}")).any(|(at, opened)| {
            let rest = dense.get(at + opened.len()..).unwrap_or_default();
            rest.starts_with([']', '(', '='])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::build::{fires, passes};
    use super::super::tree::{Finding, Tree, Weight};
    use super::{allows, ignored_tests, length, mod_rs};

    fn tree(path: &str, text: &str) -> Tree {
        Tree::default().with_file(path, text)
    }

    fn lines(count: usize) -> Tree {
        tree("crates/web/src/long.rs", &"// line\n".repeat(count))
    }

    #[test]
    fn a_long_file_warns_and_a_longer_one_fails() {
        let weight = |found: &[Finding]| found.first().map(|finding| finding.weight);
        passes(&length(&lines(400)));
        assert_eq!(weight(&length(&lines(401))), Some(Weight::Warns));
        assert_eq!(weight(&length(&lines(600))), Some(Weight::Warns));
        assert_eq!(weight(&length(&lines(601))), Some(Weight::Fails));
        fires(&length(&lines(601)), &["601 lines", "one noun"]);
    }

    #[test]
    fn mod_rs_fires() {
        fires(&mod_rs(&tree("crates/web/src/serve/mod.rs", "")), &["serve/mod.rs"]);
        passes(&mod_rs(&tree("crates/web/src/serve.rs", "")));
    }

    #[test]
    fn an_ignored_test_fires_where_it_is_code() {
        fires(&ignored_tests(&tree("crates/web/src/a.rs", "\n#[ignore]\nfn a() {}")), &["a.rs:2", "decays"]);
        fires(&ignored_tests(&tree("crates/web/src/a.rs", "#[ignore = \"slow\"]")), &["a.rs:1"]);
        passes(&ignored_tests(&tree(
            "crates/web/src/a.rs",
            "// no #[ignore] here\nconst A: &str = \"#[ignore]\";",
        )));
    }

    #[test]
    fn an_allowed_lint_fires_and_an_expected_one_passes() {
        fires(&allows(&tree("xtask/src/a.rs", "#![allow(dead_code)]")), &["a.rs:1", "expect"]);
        passes(&allows(&tree("xtask/src/a.rs", "#[expect(dead_code, reason = \"soon\")]\n#[allowed]")));
    }
}
