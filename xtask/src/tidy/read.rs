//! Reads the tree that the rules look at: files, `cargo metadata`, `cargo tree`, `Cargo.lock`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};

use super::tree::{Crate, File, Package, Tree};
use crate::job;
use crate::repo::Repo;

/// Hidden folders that belong to the project; others are somebody's tools.
const HIDDEN_OF_OURS: [&str; 4] = [".cargo", ".ci", ".config", ".github"];

/// The whole tree.
pub fn tree(repo: &Repo) -> Result<Tree> {
    let metadata =
        MetadataCommand::new().current_dir(repo.root()).no_deps().exec().context("cargo metadata")?;
    let mut files = Vec::new();
    collect(repo.root(), "", &left_out(repo)?, &mut files)?;
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let crates = crates(repo, &metadata)?;
    let lock = fs::read_to_string(repo.join("Cargo.lock")).context("no Cargo.lock")?;
    let built = packages_of(repo, &["--workspace", "--edges", "normal,build,dev"])?;
    Ok(Tree { files, crates, locked: locked(&lock), built })
}

/// What `.gitignore` leaves out; it names whole paths from the root only.
fn left_out(repo: &Repo) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(repo.join(".gitignore")).context("no .gitignore")?;
    Ok(text
        .lines()
        .map(|line| line.trim().trim_matches('/').to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}

fn collect(root: &Path, below: &str, left_out: &BTreeSet<String>, files: &mut Vec<File>) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if left_out.contains(&path) {
            continue;
        }
        if kind.is_dir() {
            if !name.starts_with('.') || HIDDEN_OF_OURS.contains(&name.as_str()) {
                collect(root, &path, left_out, files)?;
            }
        } else if kind.is_file() {
            // What is not text is nobody's source, and no rule reads it.
            if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

fn crates(repo: &Repo, metadata: &Metadata) -> Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for package in metadata.workspace_packages() {
        let imports = |dev: bool| {
            let wanted =
                package.dependencies.iter().filter(|dep| (dep.kind == DependencyKind::Development) == dev);
            wanted.map(|dep| dep.name.clone()).collect::<Vec<_>>()
        };
        let of_ours = |target: &&cargo_metadata::Target| {
            target
                .kind
                .iter()
                .any(|kind| matches!(kind, TargetKind::Lib | TargetKind::Bin | TargetKind::CustomBuild))
        };
        let roots = package.targets.iter().filter(of_ours);
        let folder = package.manifest_path.parent().context("a manifest without a folder")?;
        let tree = packages_of(repo, &["--package", &package.name, "--edges", "normal"])?;
        crates.push(Crate {
            name: package.name.strip_prefix("adit-").unwrap_or(&package.name).to_owned(),
            folder: from_root(repo, folder.as_std_path())?,
            imports: imports(false),
            dev_imports: imports(true),
            roots: roots
                .map(|target| from_root(repo, target.src_path.as_std_path()))
                .collect::<Result<_>>()?,
            reaches: tree.into_iter().map(|package| package.name).collect(),
        });
    }
    crates.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(crates)
}

fn from_root(repo: &Repo, path: &Path) -> Result<String> {
    let relative =
        path.strip_prefix(repo.root()).with_context(|| format!("{} is not ours", path.display()))?;
    let parts: Option<Vec<&str>> = relative.iter().map(std::ffi::OsStr::to_str).collect();
    Ok(parts.with_context(|| format!("{} is not text", path.display()))?.join("/"))
}

/// What cargo would build, on any platform.
fn packages_of(repo: &Repo, selection: &[&str]) -> Result<Vec<Package>> {
    let mut command = repo.cargo();
    command.args(["tree", "--target", "all", "--prefix", "none", "--format", "{p}"]).args(selection);
    let listing = job::output("cargo tree", &mut command)?;
    let packages: BTreeSet<(&str, &str)> = listing.lines().filter_map(name_and_version).collect();
    let owned = |(name, version): (&str, &str)| Package { name: name.into(), version: version.into() };
    Ok(packages.into_iter().map(owned).collect())
}

/// `name v1.2.3 (more)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

/// The packages that the lock file names. Cargo writes it in one shape, a name and a version per table.
fn locked(lock: &str) -> Vec<Package> {
    let value = |line: &str, key: &str| {
        Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    let tables = lock.split("[[package]]").skip(1);
    tables
        .filter_map(|table| {
            let name = table.lines().find_map(|line| value(line, "name"))?;
            let version = table.lines().find_map(|line| value(line, "version"))?;
            Some(Package { name, version })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{locked, name_and_version};

    #[test]
    fn a_lock_file_is_read_table_by_table() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.2.3\"\ndependencies = [\n \"b\",\n]\n\n\
                    [[package]]\nname = \"b\"\nversion = \"0.1.0\"\n";
        let packages: Vec<String> =
            locked(lock).into_iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        assert_eq!(packages, ["a 1.2.3", "b 0.1.0"]);
    }

    #[test]
    fn a_line_of_cargo_tree_is_a_name_and_a_version() {
        assert_eq!(name_and_version("h2 v0.4.20"), Some(("h2", "0.4.20")));
        assert_eq!(name_and_version("adit-web v0.1.0 (crates/web) (*)"), Some(("adit-web", "0.1.0")));
        assert_eq!(name_and_version(""), None);
    }
}
