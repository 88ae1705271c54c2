//! Tables: columns as wide as their widest cell.

use super::{clean, style::Style};

/// Rows under a heading.
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<const COLUMNS: usize>(heading: [&str; COLUMNS]) -> Self {
        Self { heading: heading.map(String::from).to_vec(), rows: Vec::new() }
    }

    /// A table with as many columns as this heading has.
    pub const fn with(heading: Vec<String>) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row; what is missing at its end is empty, what is too much is left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| clean::line(&cell)).collect();
        row.resize(self.heading.len(), String::new());
        self.rows.push(row);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines.
    pub fn render(&self, style: Style) -> String {
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| std::iter::once(&self.heading).chain(&self.rows).map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_string()
        };
        let mut text = style.faint(line(&self.heading)) + "\n";
        for row in &self.rows {
            text += &line(row);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["SERVICE", "HOST"]);
        table.row(["web".into(), "10.0.0.11".into()]);
        table.row(["reporting\u{1b}[2J\n".into()]);
        assert_eq!(table.render(Style::PLAIN), "SERVICE    HOST\nweb        10.0.0.11\nreporting\n");
    }
}
