//! Traces of the machine that something was written on.

use super::tree::{Finding, Tree};

/// Beginnings of paths that exist on one machine only. Written in two pieces so that this file passes.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Hosts of package registries. Which one is used is the reader's configuration.
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("registry", ".npmjs.org"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("deb.", "debian.org"),
];

/// Files that tools write and that name registries by their nature.
const LOCK_FILES: [&str; 3] = ["Cargo.lock", "package-lock.json", "pnpm-lock.yaml"];

/// Finds paths of a developer's machine.
pub fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let why = "the project builds and reads the same everywhere; `~` and relative paths do";
    lines_with(tree, &MACHINE_PATHS, why)
}

/// Finds hosts of registries, lock files apart.
pub fn registry_hosts(tree: &Tree) -> Vec<Finding> {
    let why = "people build behind mirrors; where packages come from is their configuration";
    lines_with(tree, &REGISTRY_HOSTS, why)
}

fn lines_with(tree: &Tree, traces: &[&str], why: &'static str) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| !LOCK_FILES.iter().any(|lock| file.path.ends_with(lock))) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(trace) = traces.iter().find(|trace| line.contains(*trace)) {
                found.push(Finding::fails(
                    format!("{}:{}", file.path, index + 1),
                    format!("says `{trace}`"),
                    why,
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{machine_paths, registry_hosts};

    #[test]
    fn a_path_of_somebodys_machine_fires() {
        let tree = |text: &str| Tree::default().with_file("docs/a.md", text);
        fires(&machine_paths(&tree(concat!("ok\nsee /ho", "me/ann/adit"))), &["docs/a.md:2", "everywhere"]);
        passes(&machine_paths(&tree("see ~/adit and /usr/lib and /tmp/x")));
    }

    #[test]
    fn a_registrys_host_fires_outside_lock_files() {
        let host = concat!("https://static.crates", ".io/x");
        fires(&registry_hosts(&Tree::default().with_file("docs/a.md", host)), &["docs/a.md:1", "mirrors"]);
        passes(&registry_hosts(&Tree::default().with_file("Cargo.lock", host)));
    }
}
