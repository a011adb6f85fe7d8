//! The two engines change together.

use std::collections::BTreeSet;

use super::tree::{Finding, Tree};

const POSTGRES: &str = "migrations/postgres/";
const SQLITE: &str = "migrations/sqlite/";

/// Finds migrations that one engine has and the other has not, and numbers used twice.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let why = "one number is one change of the schema on both engines; the conformance suite relies on it";
    let (postgres, sqlite) = (names(tree, POSTGRES), names(tree, SQLITE));
    let alone = |have: &BTreeSet<&str>, other: &BTreeSet<&str>, there: &str, missing: &str| {
        have.difference(other)
            .map(|name| Finding::fails(format!("{there}{name}"), format!("{missing} has no `{name}`"), why))
            .collect::<Vec<_>>()
    };
    let mut found = alone(&postgres, &sqlite, POSTGRES, SQLITE);
    found.extend(alone(&sqlite, &postgres, SQLITE, POSTGRES));
    for names in [&postgres, &sqlite] {
        let numbers: Vec<&str> = names.iter().map(|name| number(name)).collect();
        for twice in numbers.windows(2).filter(|pair| pair.first() == pair.last()) {
            found.push(Finding::fails("migrations", format!("number {twice:?} is used twice"), why));
        }
    }
    found
}

fn names<'a>(tree: &'a Tree, folder: &str) -> BTreeSet<&'a str> {
    tree.files
        .iter()
        .filter_map(|file| file.path.strip_prefix(folder))
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|extension| extension == "sql"))
        .collect()
}

fn number(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::check;

    fn tree(files: &[&str]) -> Tree {
        files.iter().fold(Tree::default(), |tree, file| tree.with_file(file, ""))
    }

    #[test]
    fn the_same_names_on_both_pass() {
        passes(&check(&tree(&["migrations/postgres/0001_start.sql", "migrations/sqlite/0001_start.sql"])));
    }

    #[test]
    fn a_migration_of_one_engine_alone_fires() {
        fires(
            &check(&tree(&["migrations/postgres/0002_more.sql"])),
            &["migrations/sqlite/ has no `0002_more.sql`"],
        );
        fires(&check(&tree(&["migrations/sqlite/0002_more.sql"])), &["migrations/postgres/ has no"]);
    }

    #[test]
    fn a_number_used_twice_fires_on_each_engine() {
        let files =
            ["a", "b"].map(|name| ["postgres", "sqlite"].map(|e| format!("migrations/{e}/0001_{name}.sql")));
        let files: Vec<&str> = files.iter().flatten().map(String::as_str).collect();
        assert_eq!(check(&tree(&files)).len(), 2);
    }
}
