//! All texts of a run in one line space, so that a position alone names its file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::Position;

use crate::failure::{Failure, Origin};

/// How many lines Rhai's positions can tell apart.
const LINES: usize = u16::MAX as usize;

/// The script and everything that it imports. Each text is compiled behind as many newlines as lines came before it, because
/// Rhai names the wrong file when a closure runs inside a module, but always the right line.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Mutex<Vec<Source>>>);

#[derive(Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// The line of the space that comes before its first one.
    base: usize,
    lines: usize,
}

impl Sources {
    /// Adds a text under the name that messages call it by and returns what to compile: the text in its place in the line
    /// space. A text that is there already keeps its place.
    ///
    /// Fails when the run's texts have more than 65,535 lines together.
    pub fn add(&self, name: &str, text: &str) -> Result<String, Failure> {
        let mut sources = self.lock();
        let known = sources.iter().find(|source| *source.name == *name && *source.text == *text).map(|source| source.base);
        let base = if let Some(base) = known {
            base
        } else {
            let base = sources.last().map_or(0, |last| last.base + last.lines);
            let lines = text.matches('\n').count() + 1;
            if base + lines > LINES {
                return Err(too_long(name, base + lines));
            }
            sources.push(Source { name: name.into(), text: text.into(), base, lines });
            base
        };
        Ok("\n".repeat(base) + text)
    }

    /// Where this position of the line space is, or `None` for a position that names no line.
    pub fn locate(&self, position: Position) -> Option<Origin> {
        let line = position.line()?;
        let sources = self.lock();
        let source = sources.iter().rev().find(|source| source.base < line)?;
        let column = position.position().unwrap_or(1).max(1);
        Some(Origin { file: source.name.clone(), line: line - source.base, column })
    }

    /// The text of this name, as it was added last.
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        self.lock().iter().rev().find(|source| *source.name == *name).map(|source| Arc::clone(&source.text))
    }

    /// All texts by name, in the order in which they were added.
    pub fn all(&self) -> Vec<(String, Arc<str>)> {
        self.lock().iter().map(|source| (source.name.to_string(), Arc::clone(&source.text))).collect()
    }

    /// How many characters the word or the quoted string at this place has, at least 1.
    pub fn length(&self, origin: &Origin) -> usize {
        let Some(text) = self.text(&origin.file) else { return 1 };
        let line = text.lines().nth(origin.line.saturating_sub(1)).unwrap_or_default();
        let rest: Vec<char> = line.chars().skip(origin.column.saturating_sub(1)).collect();
        let length = match rest.first() {
            Some(quote @ ('"' | '`')) => {
                let closing = (1..rest.len()).find(|index| rest[*index] == *quote && rest[index - 1] != '\\');
                closing.map_or(rest.len(), |index| index + 1)
            }
            _ => rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count(),
        };
        length.max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_long(name: &str, lines: usize) -> Failure {
    Failure::refused(format!("{name} is too long: the script and its imports have {lines} lines together, and {LINES} is the most"))
        .hint("split the plan into several scripts, or read data from a file with read_file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: u16) -> Position {
        Position::new(u16::try_from(line).expect("a small line"), column)
    }

    #[test]
    fn a_position_names_its_file() {
        let sources = Sources::default();
        sources.add("deploy/web.rhai", "let a = 1;\nlet b = 2;\n").expect("short");
        let padded = sources.add("std/rolling", "fn deploy() {}\n").expect("short");
        assert_eq!(padded, "\n\n\nfn deploy() {}\n");
        let origin = sources.locate(at(4, 4)).expect("a line");
        assert_eq!((&*origin.file, origin.line, origin.column), ("std/rolling", 1, 4));
        let end = sources.locate(at(3, 0)).expect("a line");
        assert_eq!((&*end.file, end.line, end.column), ("deploy/web.rhai", 3, 1));
        assert_eq!(sources.locate(Position::NONE), None);
    }

    #[test]
    fn the_same_text_keeps_its_place() {
        let sources = Sources::default();
        let first = sources.add("a", "1").expect("short");
        sources.add("b", "2").expect("short");
        assert_eq!(sources.add("a", "1").expect("short"), first);
        assert_eq!(sources.add("a", "3").expect("short"), "\n\n3");
        assert_eq!(sources.text("a").as_deref(), Some("3"));
    }

    #[test]
    fn the_line_space_ends() {
        let sources = Sources::default();
        sources.add("long", &"\n".repeat(LINES - 2)).expect("65,534 lines");
        sources.add("last", "1").expect("the last line");
        let failure = sources.add("more", "1").expect_err("no line is left");
        assert!(failure.message.contains("more is too long") && failure.message.contains("65536 lines"), "{failure}");
    }
}
