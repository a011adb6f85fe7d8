//! The part of a page that the tool writes; what people wrote around it stays.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- begin: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end -->";

/// Puts `text` between the two marks of a page.
pub fn write(page: &Path, text: &str) -> Result<()> {
    let name = page.display();
    let have = fs::read_to_string(page).with_context(|| format!("{name} cannot be read"))?;
    let new =
        replaced(&have, text).with_context(|| format!("{name} lacks `{BEGIN}` and `{END}` after it"))?;
    fs::write(page, new).with_context(|| format!("{name} cannot be written"))
}

fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replaced};

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("# Ours\n\n{BEGIN}\n\nold\n\n{END}\n\n## Ours too\n");
        let new = format!("# Ours\n\n{BEGIN}\n\nnew\n\n{END}\n\n## Ours too\n");
        assert_eq!(replaced(&page, "new\n"), Some(new.clone()));
        assert_eq!(replaced(&new, "new"), Some(new));
        assert_eq!(replaced("no marks", "new"), None);
        assert_eq!(replaced(&format!("{END} {BEGIN}"), "new"), None);
    }
}
