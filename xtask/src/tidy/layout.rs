//! How every crate is laid out.

use super::rust_text;
use super::tree::{Crate, Finding, Tree};

/// Lines of code below which a crate is a name without a thing.
const CODE_LINES_MIN: usize = 10;

/// Finds crates that do not inherit the workspace's lints.
pub fn lints(tree: &Tree) -> Vec<Finding> {
    let why = "the lint wall is one wall; a crate without it is a door";
    let inherits =
        |krate: &&Crate| tree.file(&manifest(krate)).is_some_and(|file| inherits_lints(&file.text));
    tree.crates
        .iter()
        .filter(|krate| !inherits(krate))
        .map(|krate| Finding::fails(manifest(krate), "no `[lints] workspace = true`", why))
        .collect()
}

/// Finds roots of libraries and programs without `#![forbid(unsafe_code)]`.
pub fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let why = "a reader of the file sees it, and a build that forgets the workspace's lints still has it";
    let forbids = |root: &&String| {
        tree.file(root)
            .is_some_and(|file| rust_text::code_only(&file.text).contains("#![forbid(unsafe_code)]"))
    };
    tree.crates
        .iter()
        .flat_map(|krate| &krate.roots)
        .filter(|root| !forbids(root))
        .map(|root| Finding::fails(root, "no `#![forbid(unsafe_code)]`", why))
        .collect()
}

/// Finds crates whose folder is not named like them.
pub fn folders(tree: &Tree) -> Vec<Finding> {
    let why = "whoever knows the crate's name knows where it is";
    tree.crates
        .iter()
        .filter(|krate| krate.name != "xtask" && krate.folder != format!("crates/{}", krate.name))
        .map(|krate| Finding::fails(&krate.folder, format!("the folder of crate `{}`", krate.name), why))
        .collect()
}

/// Finds crates with nothing in them yet.
pub fn empty(tree: &Tree) -> Vec<Finding> {
    let why = "a crate exists because somebody deploys it, needs it, or needs its boundary: not because it may come";
    let lines = |krate: &Crate| {
        let files = tree.rust_files_of(krate, "src/").chain(tree.rust_files_of(krate, "tests/"));
        files.map(|file| code_lines(&file.text)).sum::<usize>()
    };
    tree.crates
        .iter()
        .filter(|krate| lines(krate) < CODE_LINES_MIN)
        .map(|krate| Finding::fails(&krate.folder, format!("{} lines of code", lines(krate)), why))
        .collect()
}

fn manifest(krate: &Crate) -> String {
    format!("{}/Cargo.toml", krate.folder)
}

fn inherits_lints(manifest: &str) -> bool {
    let mut in_lints = false;
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        }
        in_lints && line.replace(' ', "") == "workspace=true"
    })
}

fn code_lines(text: &str) -> usize {
    let code = rust_text::code_only(text);
    code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#![")).count()
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{empty, folders, lints, unsafe_code};

    fn tree(path: &str, text: &str) -> Tree {
        Tree::default().with_crate("web", |_| ()).with_file(path, text)
    }

    #[test]
    fn a_manifest_without_the_workspaces_lints_fires() {
        passes(&lints(&tree("crates/web/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n")));
        fires(&lints(&tree("crates/web/Cargo.toml", "[package]\n")), &["crates/web/Cargo.toml", "wall"]);
        fires(
            &lints(&tree("crates/web/Cargo.toml", "[lints]\n[dependencies.x]\nworkspace = true")),
            &["no `[lints]"],
        );
    }

    #[test]
    fn a_root_without_forbid_fires() {
        passes(&unsafe_code(&tree("crates/web/src/lib.rs", "//! Docs.\n#![forbid(unsafe_code)]\n")));
        fires(
            &unsafe_code(&tree("crates/web/src/lib.rs", "// #![forbid(unsafe_code)]")),
            &["crates/web/src/lib.rs"],
        );
    }

    #[test]
    fn a_folder_with_another_name_fires() {
        passes(&folders(&tree("x", "")));
        let moved = Tree::default().with_crate("web", |krate| krate.folder = "crates/http".into());
        fires(&folders(&moved), &["crates/http", "`web`"]);
    }

    #[test]
    fn an_empty_crate_fires_and_ten_lines_are_enough() {
        let code =
            |lines: usize| format!("//! Docs.\n#![forbid(unsafe_code)]\n\n{}", "fn f();\n".repeat(lines));
        fires(&empty(&tree("crates/web/src/lib.rs", &code(9))), &["crates/web", "9 lines of code"]);
        passes(&empty(&tree("crates/web/src/lib.rs", &code(10))));
        passes(&empty(&tree("crates/web/tests/all.rs", &code(10))));
    }
}
