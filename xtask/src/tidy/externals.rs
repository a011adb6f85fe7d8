//! Which crate may touch which dependency, and which words.

use super::rust_text;
use super::tree::{Finding, Tree};

/// A dependency that exactly one crate of ours may declare.
const OWNERS: [(&str, &str, &str); 4] = [
    (
        "bincode",
        "wire",
        "the codec is frozen and unmaintained: one crate pins its bytes, and one crate changes on the way out",
    ),
    (
        "yamux",
        "mux",
        "yamux ends the whole connection on limits that `mux` holds off; nobody else may meet them",
    ),
    ("sqlx", "store", "all SQL is in one crate, where every tenant query takes a permit"),
    ("quinn", "relay-quic", "QUIC runs between nodes only"),
];

/// Packages that must not be anywhere in a crate's tree (tests apart).
const UNREACHABLE: [(&str, &[&str], &str); 7] = [
    ("domain", IO, "the nouns know no runtime: anything may use them"),
    ("wire", IO, "the protocol is bytes in, bytes out: it is tested without sockets and clocks"),
    ("policy", IO, "the same rules run at the node and in `adit policy test`"),
    ("api", &["sqlx", "sqlx-core"], "the public types outlive the tables"),
    (
        "agent",
        &["quinn", "quinn-proto", "sqlx", "sqlx-core", "axum"],
        "customers download the agent: no QUIC, which their networks block, no SQL, no web framework",
    ),
    ("server", &["sqlx", "sqlx-core"], "a node holds no database handle, so it survives the database"),
    ("control-plane", &["yamux", "quinn"], "the control plane decides; visitors' bytes never pass it"),
];

const IO: &[&str] = &["tokio", "mio", "hyper", "socket2", "rustls"];

/// Words that a crate's source must not have, unless followed by one of the exceptions.
const UNSPEAKABLE: [(&str, &str, &[&str], &str); 2] = [
    ("agent", "MintKey", &[], "only the control plane mints capabilities"),
    (
        "control-plane",
        "adit_wire::",
        &["capability"],
        "of the protocol the control plane knows minting only; frames and streams belong to nodes",
    ),
];

/// Finds crates that declare a dependency which another crate owns, tests included.
pub fn owners(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for krate in &tree.crates {
        for (package, owner, why) in OWNERS {
            let declares = krate.imports.iter().chain(&krate.dev_imports).any(|import| import == package);
            if declares && krate.name != owner {
                let what = format!("`{}` declares `{package}`, which only `{owner}` may", krate.name);
                found.push(Finding::fails(format!("{}/Cargo.toml", krate.folder), what, why));
            }
        }
    }
    found
}

/// Finds packages in a crate's tree that it must never reach, however far down.
pub fn reach(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, unreachable, why) in UNREACHABLE {
        for krate in tree.crates.iter().filter(|krate| krate.name == name) {
            for package in
                unreachable.iter().filter(|package| krate.reaches.iter().any(|have| have == *package))
            {
                let what =
                    format!("`{package}` is in its tree (`cargo tree -e normal -i {package}` shows the way)");
                found.push(Finding::fails(&krate.folder, what, why));
            }
        }
    }
    found
}

/// Finds words that a crate's source must not have.
pub fn names(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, word, exceptions, why) in UNSPEAKABLE {
        for krate in tree.crates.iter().filter(|krate| krate.name == name) {
            for file in tree.rust_files_of(krate, "src/") {
                let code = rust_text::without_tests(&rust_text::code_only(&file.text));
                if says(&code, word, exceptions) {
                    found.push(Finding::fails(&file.path, format!("says `{word}`"), why));
                }
            }
        }
    }
    found
}

fn says(code: &str, word: &str, exceptions: &[&str]) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let rest = code.get(at + word.len()..).unwrap_or_default();
        !exceptions.iter().any(|exception| rest.starts_with(exception))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{names, owners, reach};

    #[test]
    fn a_dependency_belongs_to_its_owner() {
        let tree =
            |name: &str| Tree::default().with_crate(name, |krate| krate.imports = vec!["bincode".into()]);
        passes(&owners(&tree("wire")));
        fires(&owners(&tree("mux")), &["crates/mux/Cargo.toml", "only `wire` may", "frozen"]);
        let in_tests = Tree::default().with_crate("server", |krate| krate.dev_imports = vec!["sqlx".into()]);
        fires(&owners(&in_tests), &["only `store` may"]);
    }

    #[test]
    fn a_tree_is_searched_to_its_ground() {
        let tree = |name: &str, deep: &str| {
            Tree::default().with_crate(name, |krate| krate.reaches = vec!["bytes".into(), deep.into()])
        };
        passes(&reach(&tree("agent", "tokio")));
        fires(&reach(&tree("agent", "quinn-proto")), &["crates/agent", "quinn-proto", "customers"]);
        fires(&reach(&tree("wire", "tokio")), &["without sockets"]);
    }

    #[test]
    fn a_word_counts_in_code_and_not_in_comments_or_tests() {
        let tree = |name: &str, text: &str| {
            Tree::default().with_crate(name, |_| ()).with_file(&format!("crates/{name}/src/a.rs"), text)
        };
        fires(
            &names(&tree("agent", "use adit_wire::capability::MintKey;")),
            &["crates/agent/src/a.rs", "mints"],
        );
        passes(&names(&tree("agent", "// MintKey is not ours\n#[cfg(test)]\nmod tests { use x::MintKey; }")));
        passes(&names(&tree("control-plane", "use adit_wire::capability::MintKey;")));
        fires(&names(&tree("control-plane", "use adit_wire::control::Frame;")), &["minting only"]);
    }
}
