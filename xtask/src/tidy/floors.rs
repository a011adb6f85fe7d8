//! Which crate may import which. The table is the architecture; `ARCHITECTURE.md` tells it in words.

use super::tree::{Crate, Finding, Tree};

/// A crate's place: its floor, and all of ours that it may import.
struct Place {
    name: &'static str,
    floor: u8,
    may_import: &'static [&'static str],
}

const fn place(name: &'static str, floor: u8, may_import: &'static [&'static str]) -> Place {
    Place { name, floor, may_import }
}

/// Every allowed edge. `domain` holds the nouns, so whoever stands above floor 0 may name them (`NOUNS`).
const PLACES: [Place; 19] = [
    place("domain", 0, &[]),
    place("process", 0, &[]),
    place("dashboard", 0, &[]),
    place("wire", 1, &[]),
    place("policy", 1, &[]),
    place("api", 1, &[]),
    place("net", 1, &["process"]),
    place("mux", 2, &["wire", "net"]),
    place("web", 2, &["api", "net"]),
    place("store", 2, &[]),
    place("certs", 2, &["net"]),
    place("billing", 2, &["net"]),
    place("authority", 2, &["wire", "api"]),
    place("relay-quic", 3, &["mux", "net"]),
    place("testkit", 3, &["wire", "net"]),
    place("server", 4, &["authority", "mux", "relay-quic", "web", "policy", "wire", "api", "net", "process"]),
    place(
        "control-plane",
        4,
        &["authority", "store", "certs", "billing", "web", "policy", "wire", "api", "net", "process"],
    ),
    place("agent", 4, &["mux", "web", "policy", "wire", "api", "net", "process"]),
    // It opens what it hands to the parts: the store, the listeners, the certificates.
    place("aditd", 5, &["server", "control-plane", "dashboard", "store", "api", "net", "process"]),
];

/// The crate of nouns, open to every floor above its own.
const NOUNS: &str = "domain";

/// Tests and tools, on the top floor; they may import anything.
const FREE: [&str; 4] = ["e2e", "bench", "sim", "xtask"];

/// Only tests and tools may import it.
const DEV_ONLY: &str = "testkit";

const WHY_TABLE: &str = "a crate imports only what its row in ARCHITECTURE.md allows, so that each can be read, tested \
                         and deployed without what it does not need";
const WHY_DEV_ONLY: &str = "what is built for tests must not reach a program that customers run";
const WHY_PLACE: &str =
    "every crate has a row in ARCHITECTURE.md and in xtask's table, decided before it grows";

/// Finds crates without a place and edges that the table does not have.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.crates.iter().filter(|krate| !FREE.contains(&krate.name.as_str())).flat_map(check_crate).collect()
}

fn check_crate(krate: &Crate) -> Vec<Finding> {
    let Some(place) = PLACES.iter().find(|place| place.name == krate.name) else {
        return vec![Finding::fails(
            &krate.folder,
            "this crate has no place in the table of crates",
            WHY_PLACE,
        )];
    };
    krate
        .imports
        .iter()
        .filter_map(|package| ours(package))
        .filter(|import| !place.may_import.contains(import))
        .filter(|import| place.floor == 0 || *import != NOUNS)
        .map(|import| {
            let what = format!("`{}` may not import `{import}`", krate.name);
            let why = if import == DEV_ONLY { WHY_DEV_ONLY } else { WHY_TABLE };
            Finding::fails(format!("{}/Cargo.toml", krate.folder), what, why)
        })
        .collect()
}

/// The short name of a package of ours.
fn ours(package: &str) -> Option<&str> {
    if package == "aditd" || package == "xtask" { Some(package) } else { package.strip_prefix("adit-") }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{PLACES, check};

    fn tree(name: &str, imports: &[&str]) -> Tree {
        Tree::default()
            .with_crate(name, |krate| krate.imports = imports.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn edges_of_the_table_pass() {
        passes(&check(&tree("mux", &["adit-wire", "adit-net", "adit-domain", "tokio"])));
        passes(&check(&tree("e2e", &["adit-server", "adit-testkit"])));
        let with_tests =
            Tree::default().with_crate("wire", |krate| krate.dev_imports = vec!["adit-testkit".into()]);
        passes(&check(&with_tests));
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_fires() {
        fires(&check(&tree("mux", &["adit-web"])), &["crates/mux/Cargo.toml", "`mux` may not import `web`"]);
        fires(&check(&tree("agent", &["adit-store"])), &["may not import `store`"]);
        fires(&check(&tree("process", &["adit-domain"])), &["may not import `domain`"]);
        fires(&check(&tree("server", &["aditd"])), &["may not import `aditd`"]);
        fires(&check(&tree("server", &["adit-testkit"])), &["may not import `testkit`", "built for tests"]);
    }

    #[test]
    fn a_crate_without_a_place_fires() {
        fires(&check(&tree("util", &[])), &["no place"]);
    }

    #[test]
    fn the_table_itself_only_looks_down() {
        for place in &PLACES {
            for import in place.may_import {
                let below = PLACES.iter().find(|other| other.name == *import);
                assert!(below.is_some_and(|below| below.floor < place.floor), "{} -> {import}", place.name);
            }
        }
    }
}
