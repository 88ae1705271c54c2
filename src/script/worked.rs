//! What of a text has worked, where one of its statements failed.

use std::ops::Range;

use super::pieces::{Kind, Piece, Pieces};
use crate::failure::Origin;

/// The statements before the one that has this place in it, and the functions that are defined behind them.
pub fn worked(text: &str, place: &Origin) -> String {
    let pieces = Pieces::of(text);
    let end = last_end(&pieces, offset(text, place.line, place.column));
    let behind: Vec<Piece<'_>> = pieces.all.into_iter().filter(|piece| piece.start >= end).collect();
    let parts = std::iter::once(0..end).chain(functions(&behind));
    parts.map(|part| text[part].trim()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Where a line's column is, both from 1, in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let begin: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let within = text[begin..].char_indices().nth(column.saturating_sub(1));
    within.map_or(text.len(), |(index, _)| begin + index)
}

/// The line and the column of a place in bytes, both from 1.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Where the last statement ends that does so before this place.
fn last_end(pieces: &Pieces<'_>, place: usize) -> usize {
    let (mut open, mut last) = (Vec::new(), 0);
    for piece in pieces.all.iter().take_while(|piece| piece.end() <= place) {
        let ends = match piece.kind {
            Kind::Open => {
                open.push(piece.text);
                false
            }
            Kind::Close => open.pop() == Some("{"),
            _ => piece.is(";"),
        };
        if ends && open.is_empty() {
            last = piece.end();
        }
    }
    last
}

/// The definitions of functions, each with its documentation.
fn functions(pieces: &[Piece<'_>]) -> Vec<Range<usize>> {
    let (mut depth, mut begun, mut found) = (0usize, None, Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        match piece.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ if depth == 0 && piece.is("fn") => begun = Some(definition(&pieces[..index]).unwrap_or(piece.start)),
            _ => {}
        }
        if depth == 0
            && piece.is("}")
            && let Some(begin) = begun.take()
        {
            found.push(begin..piece.end());
        }
    }
    found
}

/// Where the definition begins whose `fn` comes behind these, if before that.
fn definition(before: &[Piece<'_>]) -> Option<usize> {
    let belongs = |piece: &&Piece<'_>| piece.is("private") || (piece.kind == Kind::Comment && piece.text.starts_with("///"));
    before.iter().rev().take_while(belongs).last().map(|piece| piece.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(text: &str, line: usize, column: usize) -> String {
        worked(text, &Origin { file: "(input 1)".into(), line, column })
    }

    #[test]
    fn it_is_what_comes_before_the_statement_that_failed() {
        let text = "let a = 1; let ä = #{ b: 2 }.b;\nif a == 1 { f(a); }\n// c\nlet d = f(`${a};`);\n";
        let first = "let a = 1; let ä = #{ b: 2 }.b;\nif a == 1 { f(a); }";
        assert_eq!(before(text, 4, 9), first);
        assert_eq!(before(text, 2, 13), "let a = 1; let ä = #{ b: 2 }.b;", "a statement is within another");
        assert_eq!(before(text, 1, 30), "let a = 1;");
        assert_eq!(before(text, 1, 5), "");
    }

    #[test]
    fn a_place_has_a_line_and_a_column() {
        let text = "ä\nbö(";
        assert_eq!(place(text, text.len() - 1), (2, 3));
        assert_eq!((offset(text, 2, 3), offset(text, 1, 1), offset(text, 9, 9)), (text.len() - 1, 0, text.len()));
    }

    #[test]
    fn functions_are_there_wherever_they_are_defined() {
        let text = "let a = f(1);\nfail(\"b\");\n/// Adds.\nprivate fn f(x) { if x { 1 } else { 2 } }\nlet b = f(2);\nfn g() { }\n";
        assert_eq!(before(text, 2, 1), "let a = f(1);\n/// Adds.\nprivate fn f(x) { if x { 1 } else { 2 } }\nfn g() { }");
    }
}
