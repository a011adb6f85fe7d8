//! A table in Markdown.

/// Its lines, the head first.
#[derive(Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|cell| escaped(cell)).collect(), rows: Vec::new() }
    }

    /// Adds a line.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| escaped(cell)).collect());
    }

    /// As text.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = self.head.iter().map(|_| "---".to_owned()).collect();
        let rows = self.rows.iter().map(|row| line(row));
        [line(&self.head), line(&rule)].into_iter().chain(rows).collect()
    }
}

/// What a program said must not break the table.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn cells_cannot_break_it() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["1".into(), "x | y\nz".into()]);
        assert_eq!(table.markdown(), "| a | b |\n| --- | --- |\n| 1 | x \\| y z |\n");
    }
}
