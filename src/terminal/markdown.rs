//! Markdown for a terminal: what the documentation uses of it.

use super::{Style, table::Table};

/// How wide a line of words may be.
const WIDTH: usize = 100;

/// Headings stand out, code is indented, tables have columns, and words are wrapped.
pub fn render(markdown: &str, style: Style) -> String {
    let mut text = String::new();
    let mut words: Vec<&str> = Vec::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        let is_item = line.trim_start().starts_with("- ");
        if line.is_empty() || is_item || line.starts_with(['#', '|']) || line.starts_with("```") {
            text += &wrapped(&std::mem::take(&mut words), style);
        }
        if line.starts_with("```") {
            for code in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                let code = if code.is_empty() { String::new() } else { format!("    {}", style.code(code)) };
                text.extend([code.as_str(), "\n"]);
            }
        } else if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim().replace('`', "");
            text.extend([style.strong(heading).as_str(), "\n"]);
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            text += &table(&rows, style);
        } else if line.is_empty() {
            text.push('\n');
        } else {
            words.push(line);
        }
    }
    text += &wrapped(&words, style);
    text
}

/// The lines of a paragraph or an item, as one, broken where they have to be; an item's further lines stand under its first.
fn wrapped(lines: &[&str], style: Style) -> String {
    let Some(first) = lines.first() else { return String::new() };
    let indent = first.len() - first.trim_start().len();
    let hanging = if first.trim_start().starts_with("- ") { indent + 2 } else { indent };
    let mut text = " ".repeat(indent);
    let mut width = indent;
    for (index, word) in lines.iter().flat_map(|line| line.split_whitespace()).enumerate() {
        let length = word.chars().filter(|character| *character != '`').count();
        if index > 0 && width + 1 + length > WIDTH {
            text += "\n";
            text += &" ".repeat(hanging);
            width = hanging;
        } else if index > 0 {
            text.push(' ');
            width += 1;
        }
        text += word;
        width += length;
    }
    spans(&text, style) + "\n"
}

/// The text with its spans of code marked; without colour they keep their backticks.
fn spans(text: &str, style: Style) -> String {
    if !style.colour || text.matches('`').count() % 2 == 1 {
        return text.to_owned();
    }
    text.split('`').enumerate().map(|(index, piece)| if index % 2 == 1 { style.code(piece) } else { piece.to_owned() }).collect()
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    // An escaped bar belongs to a cell's words.
    let row = row.replace("\\|", "\u{0}");
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|").replace('`', "")).collect()
}

fn table(rows: &[Vec<String>], style: Style) -> String {
    let is_rule = |row: &[String]| row.iter().all(|cell| !cell.is_empty() && cell.chars().all(|character| "-: ".contains(character)));
    let mut rows = rows.iter().filter(|row| !is_rule(row));
    let Some(heading) = rows.next() else { return String::new() };
    let mut table = Table::with(heading.iter().map(|cell| cell.to_uppercase()).collect());
    rows.for_each(|row| table.row(row.iter().cloned()));
    table.render(style).lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_without_marks() {
        let page = "# `drain`\n\n```\ndrain(release) → Map\n```\n\nWaits\nuntil `idle`.\n\n| option | |\n|---|---|\n| `timeout` | a\\|b |\n\n- one\n- two\n  more\n";
        assert_eq!(
            render(page, Style::PLAIN),
            "drain\n\n    drain(release) → Map\n\nWaits until `idle`.\n\n  OPTION\n  timeout  a|b\n\n- one\n- two more\n"
        );
    }

    #[test]
    fn long_lines_are_broken_and_items_hang() {
        let text = render(&format!("- {}", "word ".repeat(30)), Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= WIDTH) && lines[1].starts_with("  word"), "{text}");
    }

    #[test]
    fn code_is_coloured_where_there_is_colour() {
        let coloured = render("see `drain`", Style { colour: true });
        assert!(coloured.contains("\u{1b}[36mdrain\u{1b}[0m") && !coloured.contains('`'), "{coloured}");
    }
}
