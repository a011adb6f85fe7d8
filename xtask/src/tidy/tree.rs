//! What the rules look at, as plain values, and what they say.

use std::fmt;

/// Everything that any rule looks at. Rules never read files themselves.
#[derive(Debug, Default, Clone)]
pub struct Tree {
    /// Text files of the project, by path from the root.
    pub files: Vec<File>,
    /// The crates of the workspace.
    pub crates: Vec<Crate>,
    /// What `Cargo.lock` names.
    pub locked: Vec<Package>,
    /// What is built, by cargo's own account: the lock also names what no feature asks for.
    pub built: Vec<Package>,
}

/// A text file.
#[derive(Debug, Default, Clone)]
pub struct File {
    /// Path from the root, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A crate of the workspace.
#[derive(Debug, Default, Clone)]
pub struct Crate {
    /// Its name without `adit-`.
    pub name: String,
    /// Its folder from the root, with `/`.
    pub folder: String,
    /// What its manifest declares, normal and build dependencies, by package name.
    pub imports: Vec<String>,
    /// What its manifest declares for tests, by package name.
    pub dev_imports: Vec<String>,
    /// The root files of its libraries and programs, from the root.
    pub roots: Vec<String>,
    /// Every package in its tree without tests, by package name.
    pub reaches: Vec<String>,
}

/// A dependency at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its version as text.
    pub version: String,
}

/// Whether a finding fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The run fails.
    Fails,
    /// The reader is told.
    Warns,
}

/// What a rule found: where, what, and why that matters.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Whether it fails the run.
    pub weight: Weight,
    place: String,
    what: String,
    why: &'static str,
}

impl Finding {
    /// A finding that fails the run.
    pub fn fails(place: impl Into<String>, what: impl Into<String>, why: &'static str) -> Self {
        Self { weight: Weight::Fails, place: place.into(), what: what.into(), why }
    }

    /// A finding that only warns.
    pub fn warns(place: impl Into<String>, what: impl Into<String>, why: &'static str) -> Self {
        Self { weight: Weight::Warns, ..Self::fails(place, what, why) }
    }

    /// The finding as a line, under the name of its rule.
    pub fn told_under(&self, rule: &str) -> String {
        let weight = if self.weight == Weight::Fails { "FAIL" } else { "warn" };
        format!("{weight} [{rule}] {self}")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. Why: {}.", self.place, self.what, self.why)
    }
}

impl Tree {
    /// Every Rust file of ours: below `crates/` and `xtask/`.
    pub fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust() && file.is_ours())
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files of one crate below a folder of it, such as `src/`.
    pub fn rust_files_of<'a>(&'a self, krate: &Crate, below: &str) -> impl Iterator<Item = &'a File> {
        let folder = format!("{}/{below}", krate.folder);
        self.files.iter().filter(move |file| file.is_rust() && file.path.starts_with(&folder))
    }
}

impl File {
    fn is_rust(&self) -> bool {
        std::path::Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    fn is_ours(&self) -> bool {
        self.path.starts_with("crates/") || self.path.starts_with("xtask/")
    }
}

#[cfg(test)]
pub mod build {
    //! Small trees for the tests of rules.

    use super::{Crate, File, Finding, Package, Tree};

    impl Tree {
        /// The tree with one file more.
        pub fn with_file(mut self, path: &str, text: &str) -> Self {
            self.files.push(File { path: path.into(), text: text.into() });
            self
        }

        /// The tree with one crate more, in the folder that its name asks for.
        pub fn with_crate(mut self, name: &str, change: impl FnOnce(&mut Crate)) -> Self {
            let folder = format!("crates/{name}");
            let mut krate = Crate {
                name: name.into(),
                roots: vec![format!("{folder}/src/lib.rs")],
                folder,
                ..Crate::default()
            };
            change(&mut krate);
            self.crates.push(krate);
            self
        }

        /// The tree with a package in the lock and in what is built.
        pub fn with_package(mut self, name: &str, version: &str) -> Self {
            let package = Package { name: name.into(), version: version.into() };
            self.locked.push(package.clone());
            self.built.push(package);
            self
        }
    }

    /// Passes when there is exactly one finding and its text has every word of `words`.
    pub fn fires(found: &[Finding], words: &[&str]) {
        assert_eq!(found.len(), 1, "{found:?}");
        let text = found.first().map(ToString::to_string).unwrap_or_default();
        for word in words {
            assert!(text.contains(word), "no `{word}` in `{text}`");
        }
    }

    /// Passes when nothing was found.
    pub fn passes(found: &[Finding]) {
        assert!(found.is_empty(), "{found:?}");
    }
}
