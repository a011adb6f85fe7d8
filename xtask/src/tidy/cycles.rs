//! Siblings that use each other in a circle.
//!
//! The modules of a crate form a tree of uses: reading one never leads back to it. Paths are read as text, without
//! tests; what a module re-exports counts as use of where it comes from.

use std::collections::{BTreeMap, BTreeSet};

use super::rust_text::{self, Path};
use super::tree::{Crate, Finding, Tree};

const WHY: &str = "modules that use each other are one module in two files; move what both need below them";

/// Re-exports of re-exports are followed this far.
const REEXPORTS_FOLLOWED_MAX: u8 = 4;

/// The modules of one crate: the code of each, and what it re-exports.
#[derive(Default)]
struct Modules {
    code: BTreeMap<Path, (String, String)>,
    reexports: BTreeMap<Path, Vec<(String, Path)>>,
}

/// Below one parent: from child to child, with the place that says so.
type Uses = BTreeMap<Path, BTreeMap<String, BTreeMap<String, String>>>;

/// Finds circles of uses between siblings in every crate.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.crates.iter().flat_map(|krate| check_crate(tree, krate)).collect()
}

fn check_crate(tree: &Tree, krate: &Crate) -> Vec<Finding> {
    let modules = Modules::of(tree, krate);
    let mut found = Vec::new();
    for (parent, uses) in &modules.uses() {
        if let Some(circle) = circle(uses) {
            let names: Vec<&str> = circle.iter().map(|(from, _)| *from).collect();
            let places: Vec<&str> = circle.iter().map(|(_, place)| *place).collect();
            let place = if parent.is_empty() {
                krate.name.clone()
            } else {
                format!("{} {}", krate.name, parent.join("::"))
            };
            let what = format!("a circle of uses between {}: {}", names.join(" -> "), places.join("; "));
            found.push(Finding::fails(place, what, WHY));
        }
    }
    found
}

impl Modules {
    fn of(tree: &Tree, krate: &Crate) -> Self {
        let source = format!("{}/src/", krate.folder);
        let mut modules = Self::default();
        for file in tree.rust_files_of(krate, "src/") {
            let Some(module) = file.path.strip_prefix(&source).and_then(module_of) else { continue };
            let code = rust_text::without_tests(&rust_text::code_only(&file.text));
            modules.reexports.entry(module.clone()).or_default().extend(rust_text::reexports(&code));
            modules.code.insert(module, (file.path.clone(), code));
        }
        modules
    }

    fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (module, (file, code)) in &self.code {
            for (line, path) in rust_text::local_paths(code) {
                let Some(absolute) = absolute(module, &path) else { continue };
                let target = self.resolve(&absolute, REEXPORTS_FOLLOWED_MAX);
                let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) else { continue };
                let parent = module.iter().take(shared).cloned().collect();
                let place = format!("{file}:{line} says {}", path.join("::"));
                let between = uses.entry(parent).or_default().entry(from.clone()).or_default();
                between.entry(to.clone()).or_insert(place);
            }
        }
        uses
    }

    /// The module that a path from the root ends in: as deep as there are modules, through re-exports.
    fn resolve(&self, path: &Path, follow: u8) -> Path {
        let mut module = Path::new();
        for (depth, name) in path.iter().enumerate() {
            let mut child = module.clone();
            child.push(name.clone());
            if self.code.contains_key(&child) {
                module = child;
                continue;
            }
            let renamed = self.reexports.get(&module).and_then(|all| all.iter().find(|(new, _)| new == name));
            if let (Some((_, to)), Some(follow)) = (renamed, follow.checked_sub(1))
                && let Some(mut next) = self.absolute_use(&module, to)
            {
                next.extend(path.iter().skip(depth + 1).cloned());
                return self.resolve(&next, follow);
            }
            break;
        }
        module
    }

    /// A path of a `use`: local, or beginning with a child module; `None` for one of another crate.
    fn absolute_use(&self, module: &Path, path: &Path) -> Option<Path> {
        absolute(module, path).or_else(|| {
            let child: Path = module.iter().chain(path.first()).cloned().collect();
            self.code.contains_key(&child).then(|| module.iter().chain(path).cloned().collect())
        })
    }
}

/// The module that a file below `src/` holds; `None` for tests and for programs beside the main one.
fn module_of(file: &str) -> Option<Path> {
    let mut path: Path = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if path.iter().any(|name| name == "tests") || path.first().is_some_and(|first| first == "bin") {
        return None;
    }
    if path.len() == 1 && path.first().is_some_and(|name| name == "lib" || name == "main") {
        path.clear();
    }
    Some(path)
}

/// A local path from the root; `None` for any other.
fn absolute(module: &Path, path: &Path) -> Option<Path> {
    let (mut base, mut rest) = match path.first()?.as_str() {
        "crate" => (Path::new(), path.get(1..)?),
        "self" => (module.clone(), path.get(1..)?),
        "super" => (module.clone(), path.as_slice()),
        _ => return None,
    };
    while let Some((first, tail)) = rest.split_first().filter(|(first, _)| *first == "super") {
        debug_assert_eq!(first, "super");
        base.pop()?;
        rest = tail;
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// The first circle, as its members and the places of their uses, in order.
fn circle(uses: &BTreeMap<String, BTreeMap<String, String>>) -> Option<Vec<(&str, &str)>> {
    uses.keys().find_map(|start| way(uses, start, start, &mut BTreeSet::new()))
}

/// A way from one module to another, along uses.
fn way<'a>(
    uses: &'a BTreeMap<String, BTreeMap<String, String>>,
    from: &'a str,
    to: &str,
    seen: &mut BTreeSet<&'a str>,
) -> Option<Vec<(&'a str, &'a str)>> {
    for (next, place) in uses.get(from)? {
        if next == to {
            return Some(vec![(from, place)]);
        }
        if seen.insert(next)
            && let Some(mut rest) = way(uses, next, to, seen)
        {
            rest.insert(0, (from, place));
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::check;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::default().with_crate("web", |_| ());
        files.iter().fold(tree, |tree, (path, text)| tree.with_file(&format!("crates/web/src/{path}"), text))
    }

    #[test]
    fn a_tree_of_uses_passes() {
        passes(&check(&tree(&[
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::B; mod deep;"),
            ("a/deep.rs", "use super::A; use crate::b::B;"),
            ("b.rs", "// use crate::a::A;\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
            ("b/tests.rs", "use crate::a::A;"),
        ])));
    }

    #[test]
    fn two_siblings_that_use_each_other_fire() {
        let found = check(&tree(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "\nuse crate::b::B;"),
            ("b.rs", "fn f(_: super::a::A) {}"),
        ]));
        fires(&found, &["web", "a -> b", "a.rs:2 says crate::b::B", "b.rs:1 says super::a::A", "one module"]);
    }

    #[test]
    fn a_circle_of_three_fires_even_below_the_root_and_from_children() {
        let found = check(&tree(&[
            ("m/a/deep.rs", "use crate::m::b::B;"),
            ("m/a.rs", "mod deep;"),
            ("m/b.rs", "use super::c::{C, D};"),
            ("m/c.rs", "use crate::{m::a::A};"),
            ("m.rs", ""),
        ]));
        fires(&found, &["web m", "a -> b -> c"]);
    }

    #[test]
    fn a_circle_through_a_re_export_fires() {
        let found = check(&tree(&[
            ("lib.rs", "mod a; mod b; pub use a::Thing as Renamed;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::Renamed;"),
        ]));
        fires(&found, &["a -> b"]);
    }
}
