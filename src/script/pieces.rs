//! A text in pieces, be it whole or not, right or wrong: words, strings, comments and brackets.

use std::ops::Range;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name, or a word of the language.
    Word,
    /// A number.
    Number,
    /// A string, or a part of one beside what is interpolated.
    Text,
    /// A comment.
    Comment,
    /// An opening bracket: `(`, `[`, `{`, `#{`, and in strings `${`.
    Open,
    /// A closing bracket.
    Close,
    /// Any other character.
    Sign,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'t> {
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: &'t str,
    /// Where it begins, in bytes.
    pub start: usize,
}

impl Piece<'_> {
    /// Where it ends.
    pub const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this character, or this word.
    pub fn is(&self, text: &str) -> bool {
        !matches!(self.kind, Kind::Text | Kind::Comment) && self.text == text
    }
}

/// What a text ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Code.
    Code,
    /// A string with this mark; its last part begins there.
    Text(char, usize),
    /// A comment that goes on to the end of the line.
    Comment,
    /// A comment that goes on over lines.
    Block,
}

/// A text that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces<'t> {
    /// All but white space.
    pub all: Vec<Piece<'t>>,
    /// The brackets among them that stay open, the innermost last.
    pub open: Vec<usize>,
    /// What its end is in.
    pub within: Within,
}

impl<'t> Pieces<'t> {
    /// Reads a text.
    pub fn of(text: &'t str) -> Self {
        let pieces = Self { all: Vec::new(), open: Vec::new(), within: Within::Code };
        let mut reader = Reader { text, at: 0, pieces };
        while let Some(first) = reader.rest().chars().next() {
            reader.next(first);
        }
        reader.pieces
    }

    /// Where strings have code in them, from its `${` to behind its `}` or the end of the text.
    pub fn interpolated(&self) -> Vec<Range<usize>> {
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for piece in &self.all {
            match piece.kind {
                Kind::Open => open.push(piece),
                Kind::Close => found.extend(open.pop().filter(|open| open.is("${")).map(|open| open.start..piece.end())),
                _ => {}
            }
        }
        let end = self.all.last().map_or(0, Piece::end);
        found.extend(open.iter().filter(|open| open.is("${")).map(|open| open.start..end));
        found
    }

    /// The bracket that the one at `index` closes.
    pub fn opening(&self, index: usize) -> Option<usize> {
        let mut depth = 0usize;
        (0..=index).rev().find(|&at| {
            match self.all[at].kind {
                Kind::Close => depth += 1,
                Kind::Open => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    pieces: Pieces<'t>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self, kind: Kind, length: usize) {
        if kind == Kind::Open {
            self.pieces.open.push(self.pieces.all.len());
        }
        self.pieces.all.push(Piece { kind, text: &self.rest()[..length], start: self.at });
        self.at += length;
    }

    /// All that is left, which its end is within.
    fn take_rest(&mut self, kind: Kind, within: Within) {
        self.pieces.within = within;
        self.take(kind, self.rest().len());
    }

    fn next(&mut self, first: char) {
        let rest = self.rest();
        let taken = |fits: fn(char) -> bool| rest.find(|one| !fits(one)).unwrap_or(rest.len());
        match first {
            _ if first.is_whitespace() => self.at += first.len_utf8(),
            '/' if rest.starts_with("//") => match rest.find('\n') {
                Some(length) => self.take(Kind::Comment, length),
                None => self.take_rest(Kind::Comment, Within::Comment),
            },
            '/' if rest.starts_with("/*") => self.block(),
            '`' => self.template(1),
            '"' | '\'' => self.string(first),
            '#' if rest.trim_start_matches('#').starts_with('"') => self.raw(),
            '#' if rest.starts_with("#{") => self.take(Kind::Open, 2),
            '(' | '[' | '{' => self.take(Kind::Open, 1),
            ')' | ']' | '}' => {
                let opened = self.pieces.open.pop().map(|open| self.pieces.all[open].text);
                self.take(Kind::Close, 1);
                if first == '}' && opened == Some("${") {
                    self.template(0);
                }
            }
            '0'..='9' => self.take(Kind::Number, taken(|one| one.is_ascii_alphanumeric() || one == '_')),
            _ if is_of_a_word(first) => self.take(Kind::Word, taken(is_of_a_word)),
            _ => self.take(Kind::Sign, first.len_utf8()),
        }
    }

    /// A comment over lines; there may be others in it.
    fn block(&mut self) {
        let (rest, mut depth, mut at) = (self.rest(), 0usize, 0);
        while let Some(mark) = rest[at..].find(['/', '*']) {
            at += mark;
            match rest.get(at..at + 2) {
                Some("/*") => (depth, at) = (depth + 1, at + 2),
                Some("*/") => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                return self.take(Kind::Comment, at);
            }
        }
        self.take_rest(Kind::Comment, Within::Block);
    }

    /// A string in backticks, or what of it comes behind something interpolated: `mark` bytes begin it.
    fn template(&mut self, mark: usize) {
        let rest = self.rest();
        let mut at = mark;
        while let Some(length) = rest[at..].find(['`', '$']) {
            at += length;
            match &rest[at..] {
                more if more.starts_with("``") => at += 2,
                more if more.starts_with('`') => return self.take(Kind::Text, at + 1),
                more if more.starts_with("${") => {
                    if at > 0 {
                        self.take(Kind::Text, at);
                    }
                    return self.take(Kind::Open, 2);
                }
                _ => at += 1,
            }
        }
        self.take_rest(Kind::Text, Within::Text('`', self.at + mark));
    }

    /// A string of one line, or a character.
    fn string(&mut self, mark: char) {
        let mut is_escaped = false;
        for (index, character) in self.rest().char_indices().skip(1) {
            match character {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '\n' => return self.take(Kind::Text, index),
                _ if character == mark => return self.take(Kind::Text, index + 1),
                _ => {}
            }
        }
        self.take_rest(Kind::Text, Within::Text(mark, self.at + 1));
    }

    /// A string between as many `#` on both sides, in which nothing is escaped.
    fn raw(&mut self) {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", &rest[..hashes]);
        match rest[hashes + 1..].find(&end) {
            Some(length) => self.take(Kind::Text, hashes + 1 + length + end.len()),
            None => self.take_rest(Kind::Text, Within::Text('"', self.at + hashes + 1)),
        }
    }
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_reads(text: &str, expected: &[&str], open: &[&str], within: Within) {
        let pieces = Pieces::of(text);
        let texts: Vec<&str> = pieces.all.iter().map(|piece| piece.text).collect();
        let left: Vec<&str> = pieces.open.iter().map(|&index| pieces.all[index].text).collect();
        assert_eq!((texts.as_slice(), left.as_slice(), pieces.within), (expected, open, within), "{text}");
    }

    #[test]
    fn a_text_is_taken_apart() {
        assert_reads("let a_1 = f(2);", &["let", "a_1", "=", "f", "(", "2", ")", ";"], &[], Within::Code);
        assert_reads("[#{ a: ", &["[", "#{", "a", ":"], &["[", "#{"], Within::Code);
        assert_reads("a // (\nb /* { /* */ */ c", &["a", "// (", "b", "/* { /* */ */", "c"], &[], Within::Code);
        assert_reads(r#""a \" (" 'b'"#, &[r#""a \" (""#, "'b'"], &[], Within::Code);
        assert_reads(r##"#"a " b"# c"##, &[r##"#"a " b"#"##, "c"], &[], Within::Code);
    }

    #[test]
    fn what_is_interpolated_is_code() {
        assert_reads(
            "`a ${b(`${c}`)} ``d``",
            &["`a ", "${", "b", "(", "`", "${", "c", "}", "`", ")", "}", " ``d``"],
            &[],
            Within::Text('`', 15),
        );
        assert_reads("`a ${ #{ b: 1 }.b } c` d", &["`a ", "${", "#{", "b", ":", "1", "}", ".", "b", "}", " c`", "d"], &[], Within::Code);
        assert_reads("f(`${old.", &["f", "(", "`", "${", "old", "."], &["(", "${"], Within::Code);
    }

    #[test]
    fn code_in_strings_is_found() {
        let found = |text| Pieces::of(text).interpolated().into_iter().map(|code| &text[code]).collect::<Vec<_>>();
        assert_eq!(found("`a ${b(`${c}`)} d` + \"${e}\" + #{ f: 1 }"), ["${c}", "${b(`${c}`)}"]);
        assert_eq!(found("`a ${#{ b: \"}\" }.b} c ${d"), ["${#{ b: \"}\" }.b}", "${d"]);
    }

    #[test]
    fn what_the_end_is_in_is_known() {
        assert_reads("f(\"a", &["f", "(", "\"a"], &["("], Within::Text('"', 3));
        assert_reads("\"a\nb", &["\"a", "b"], &[], Within::Code);
        assert_reads("`a\nb", &["`a\nb"], &[], Within::Text('`', 1));
        assert_reads("a // b", &["a", "// b"], &[], Within::Comment);
        assert_reads("a /* b", &["a", "/* b"], &[], Within::Block);
        assert_reads(") }", &[")", "}"], &[], Within::Code);
    }

    #[test]
    fn a_bracket_knows_where_it_was_opened() {
        let pieces = Pieces::of("a(b[1], (c))");
        assert_eq!(pieces.opening(pieces.all.len() - 1), Some(1));
        assert_eq!(pieces.opening(5), Some(3));
        assert_eq!(Pieces::of(")").opening(0), None);
    }
}
