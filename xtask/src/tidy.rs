//! The rules that the compiler does not hold. Each is a pure function over the tree; each says why it is there.

mod bounds;
mod cycles;
mod documents;
mod externals;
mod floors;
mod layout;
mod limits_page;
mod migrations;
mod number;
mod read;
mod rust_text;
mod sources;
mod traces;
mod tree;
mod versions;

use anyhow::{Context as _, Result, bail};

use crate::console;
use crate::repo::Repo;
use crate::tidy::tree::{Finding, Tree, Weight};

/// A rule: its name, and what it finds.
type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

/// Every rule there is.
const RULES: [Rule; 22] = [
    ("crate floors", floors::check),
    ("owned dependencies", externals::owners),
    ("dependencies that a crate must never reach", externals::reach),
    ("names that a crate must never say", externals::names),
    ("dependencies nobody may have", versions::banned),
    ("versions with known faults", versions::minimum),
    ("module cycles", cycles::check),
    ("file length", sources::length),
    ("no mod.rs", sources::mod_rs),
    ("no ignored tests", sources::ignored_tests),
    ("no allow", sources::allows),
    ("workspace lints", layout::lints),
    ("forbid(unsafe_code)", layout::unsafe_code),
    ("folder names", layout::folders),
    ("no empty crates", layout::empty),
    ("migrations in step", migrations::check),
    ("no machine paths", traces::machine_paths),
    ("no registry hosts", traces::registry_hosts),
    ("limits page", limits_page::check),
    ("limits in tests", bounds::check),
    ("links", documents::links),
    ("index of design notes", documents::index),
];

/// Reads the tree, applies every rule, prints what they found; a failure of any is an error.
pub fn run(repo: &Repo) -> Result<()> {
    let tree = read::tree(repo)?;
    let (mut failures, mut warnings) = (0_usize, 0_usize);
    for (name, rule) in RULES {
        for finding in rule(&tree) {
            match finding.weight {
                Weight::Fails => failures += 1,
                Weight::Warns => warnings += 1,
            }
            console::line(&finding.told_under(name));
        }
    }
    console::line(&format!("tidy: {} rules, {failures} failures, {warnings} warnings", RULES.len()));
    if failures == 0 { Ok(()) } else { bail!("tidy found {failures} failures") }
}

/// Writes `docs/limits.md` as it should be.
pub fn write_limits_page(repo: &Repo) -> Result<()> {
    let page = limits_page::page(&read::tree(repo)?);
    let file = repo.join(limits_page::PAGE);
    std::fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    console::line(&format!("wrote {}", limits_page::PAGE));
    Ok(())
}
