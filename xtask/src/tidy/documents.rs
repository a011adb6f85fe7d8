//! Documents that point at each other.

use super::tree::{File, Finding, Tree};

const NOTES: &str = "docs/design/";
const INDEX: &str = "docs/design/README.md";

/// Finds relative links that lead nowhere.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let why = "a reader who follows a link has a question";
    let dead = |file: &File, target: &str| {
        let path = resolved(&file.path, target)?;
        let folder = format!("{}/", path.trim_end_matches('/'));
        let exists = tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder));
        (!exists)
            .then(|| Finding::fails(&file.path, format!("a link to `{target}`, which is not there"), why))
    };
    let documents = tree.files.iter().filter(|file| is_document(file));
    documents.flat_map(|file| targets(&file.text).filter_map(move |target| dead(file, target))).collect()
}

/// Finds design notes that the index does not have.
pub fn index(tree: &Tree) -> Vec<Finding> {
    let why = "whoever looks for a decision starts at the index";
    let text = tree.file(INDEX).map_or("", |file| &file.text);
    let listed = |name: &str| targets(text).any(|target| target == name);
    let notes =
        tree.files.iter().filter(|file| is_document(file)).filter_map(|file| file.path.strip_prefix(NOTES));
    notes
        .filter(|name| format!("{NOTES}{name}") != INDEX && !listed(name))
        .map(|name| Finding::fails(INDEX, format!("does not link to `{name}`"), why))
        .collect()
}

fn is_document(file: &File) -> bool {
    std::path::Path::new(&file.path).extension().is_some_and(|extension| extension == "md")
}

/// What the links of a document point at: `](target)`, without a fragment. Code is not told apart.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ', '\n']).next())
}

/// The path from the root that a relative target means; `None` for one that is not relative, or is only a fragment.
fn resolved(document: &str, target: &str) -> Option<String> {
    if target.is_empty() || target.starts_with('/') || target.contains(':') {
        return None;
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::super::tree::build::{fires, passes};
    use super::{index, links};

    #[test]
    fn a_link_that_leads_nowhere_fires() {
        let tree = |link: &str| {
            let text = format!("[here](https://example.com/x) and [there]({link})");
            Tree::default()
                .with_file("docs/a.md", &text)
                .with_file("docs/design/b.md", "")
                .with_file("c.md", "")
        };
        for good in ["design/b.md", "design/", "./design/b.md#part", "../c.md", "#part", "a.md"] {
            passes(&links(&tree(good)));
        }
        fires(&links(&tree("design/gone.md")), &["docs/a.md", "`design/gone.md`"]);
        fires(&links(&tree("c.md")), &["which is not there"]);
    }

    #[test]
    fn a_design_note_without_an_entry_fires() {
        let tree = |index: &str| {
            Tree::default().with_file("docs/design/README.md", index).with_file("docs/design/n.md", "")
        };
        passes(&index(&tree("- [a note](n.md)")));
        fires(&index(&tree("nothing yet")), &["docs/design/README.md", "`n.md`"]);
    }
}
