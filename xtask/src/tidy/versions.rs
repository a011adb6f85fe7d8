//! Dependencies that nobody may have, and versions below which a known fault lives.

use super::tree::{Finding, Package, Tree};

/// Packages that are not built, whoever asks for them. The lock may name one that no feature asks for.
const BANNED: [(&str, &str); 5] = [
    ("ring", "aws-lc-rs is the only TLS provider: with two, rustls panics when it has to choose"),
    ("openssl-sys", "rustls is the only TLS: nothing links a system library whose version we do not choose"),
    ("native-tls", "rustls is the only TLS: nothing links a system library whose version we do not choose"),
    ("rustls-pemfile", "unmaintained; rustls-pki-types reads PEM files"),
    ("backoff", "unmaintained; our reconnect logic is our own"),
];

/// The first version that is acceptable.
const MINIMUM: [(&str, [u64; 3], &str); 7] = [
    (
        "yamux",
        [0, 14, 1],
        "before it a remote peer can panic or deadlock the connection, and no advisory database tells",
    ),
    ("h2", [0, 4, 18], "before it a peer can make the server hold memory without bound"),
    ("hyper", [1, 12, 0], "our deadlines and limits are written against it"),
    ("rustls", [0, 23, 18], "before it a ClientHello from the network can panic the acceptor"),
    ("rustls-webpki", [0, 103, 13], "before it certificates are checked wrongly"),
    ("quinn-proto", [0, 11, 15], "before it a peer can exhaust memory"),
    ("tracing-subscriber", [0, 3, 20], "before it log lines can carry terminal escapes from the network"),
];

/// The one version that is acceptable.
const EXACT: [(&str, [u64; 3], &str); 1] = [(
    "bincode",
    [2, 0, 1],
    "the last version that builds; docs/design/2026-11-21-bincode.md says how it is left",
)];

/// Finds banned packages among what is built.
pub fn banned(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, why) in BANNED {
        if tree.built.iter().any(|package| package.name == name) {
            let what =
                format!("`{name}` is built (`cargo tree --target all -i {name}` shows who asks for it)");
            found.push(Finding::fails("Cargo.lock", what, why));
        }
    }
    found
}

/// Finds packages in the lock below their minimum, or apart from their one version.
pub fn minimum(tree: &Tree) -> Vec<Finding> {
    let below = MINIMUM.into_iter().flat_map(|(name, minimum, why)| {
        versions(tree, name).filter(move |package| parsed(&package.version) < Some(minimum)).map(
            move |Package { version, .. }| {
                let what = format!("`{name}` is {version}, below {}", text(minimum));
                Finding::fails("Cargo.lock", what, why)
            },
        )
    });
    let other = EXACT.into_iter().flat_map(|(name, exact, why)| {
        versions(tree, name).filter(move |package| parsed(&package.version) != Some(exact)).map(
            move |Package { version, .. }| {
                let what = format!("`{name}` is {version}, not {}", text(exact));
                Finding::fails("Cargo.lock", what, why)
            },
        )
    });
    below.chain(other).collect()
}

fn versions<'a>(tree: &'a Tree, name: &'static str) -> impl Iterator<Item = &'a Package> {
    tree.locked.iter().filter(move |package| package.name == name)
}

/// Major, minor, patch; `None`, which is below everything, for a pre-release or what is no version.
fn parsed(version: &str) -> Option<[u64; 3]> {
    let numbers = version.split('+').next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let parsed = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(parsed)
}

fn text([major, minor, patch]: [u64; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{banned, minimum, parsed};

    fn tree(name: &str, version: &str) -> Tree {
        Tree::default().with_package(name, version)
    }

    #[test]
    fn a_banned_package_fires_when_it_is_built_and_not_when_only_the_lock_names_it() {
        fires(&banned(&tree("ring", "0.17.14")), &["`ring` is built", "only TLS provider"]);
        let mut ghost = tree("ring", "0.17.14");
        ghost.built.clear();
        passes(&banned(&ghost));
    }

    #[test]
    fn a_version_below_its_minimum_fires() {
        passes(&minimum(&tree("yamux", "0.14.1")));
        passes(&minimum(&tree("yamux", "0.15.0")));
        fires(&minimum(&tree("yamux", "0.14.0")), &["`yamux` is 0.14.0, below 0.14.1", "no advisory"]);
        fires(&minimum(&tree("rustls-webpki", "0.103.9")), &["below 0.103.13"]);
        fires(&minimum(&tree("hyper", "1.12.0-rc.1")), &["below 1.12.0"]);
    }

    #[test]
    fn a_version_other_than_the_exact_one_fires() {
        passes(&minimum(&tree("bincode", "2.0.1")));
        fires(&minimum(&tree("bincode", "3.0.0")), &["`bincode` is 3.0.0, not 2.0.1"]);
        fires(&minimum(&tree("bincode", "1.3.3")), &["not 2.0.1"]);
    }

    #[test]
    fn versions_are_numbers_and_builds_do_not_count() {
        assert_eq!(parsed("1.2.3+build"), Some([1, 2, 3]));
        assert_eq!(parsed("1.2"), None);
        assert_eq!(parsed("1.2.3.4"), None);
    }
}
