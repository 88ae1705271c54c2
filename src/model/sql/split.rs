//! Cuts a script of SQL into its statements, as Postgres's own lexer sees them.

use crate::model::{
    name::Invalid,
    text::{Part, Text},
};

/// Stands for a secret while the text is cut; a character that scripts cannot write.
const FIRST: u32 = 0x10_0000;

/// The statements of a text, without the semicolons between them and without those that are only comments.
/// What is open at the text's end (a quote, a comment) is refused.
pub fn statements(text: &Text) -> Result<Vec<Text>, Invalid> {
    let mut secrets: Vec<&str> = Vec::new();
    let mut flat = String::new();
    for part in text.parts() {
        match part {
            Part::Plain(plain) if plain.chars().any(|character| u32::from(character) >= FIRST) => {
                return Err(Invalid::new("SQL", "…", "characters of the last private use area cannot stand in it"));
            }
            Part::Plain(plain) => flat.push_str(plain),
            Part::Secret { secret } => {
                let index = u32::try_from(secrets.len()).ok().and_then(|index| char::from_u32(FIRST + index));
                flat.push(index.ok_or_else(|| Invalid::new("SQL", "…", "fewer secrets in one text"))?);
                secrets.push(secret);
            }
        }
    }
    let whole = |piece: &str| {
        Text::new(piece.chars().map(|character| {
            let index = u32::from(character).checked_sub(FIRST).and_then(|index| usize::try_from(index).ok());
            match index.and_then(|index| secrets.get(index)) {
                Some(secret) => Part::Secret { secret: (*secret).to_owned() },
                None => Part::Plain(character.into()),
            }
        }))
    };
    Ok(Cutter { text: &flat, position: 0 }.cut()?.into_iter().map(whole).collect())
}

struct Cutter<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cutter<'a> {
    fn cut(mut self) -> Result<Vec<&'a str>, Invalid> {
        let mut found = Vec::new();
        let (mut start, mut depth, mut has_words) = (0, 0usize, false);
        // Inside `BEGIN ATOMIC … END` of a function's body, semicolons end the body's own statements.
        let (mut atomic, mut last_word) = (0usize, String::new());
        while let Some(next) = self.rest().chars().next() {
            let begin = self.position;
            match next {
                '\'' => self.quote(last_word == "e")?,
                '"' => self.until("\"", "\"")?,
                '$' if self.dollar_tag().is_some() => {
                    let tag = self.dollar_tag().unwrap_or_default().to_owned();
                    self.position += tag.len();
                    self.until(&tag, "a $ quote")?;
                }
                '-' if self.rest().starts_with("--") => {
                    self.position += self.rest().find('\n').unwrap_or(self.rest().len());
                    continue;
                }
                '/' if self.rest().starts_with("/*") => {
                    self.comment()?;
                    continue;
                }
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                ';' if depth == 0 && atomic == 0 => {
                    found.extend(has_words.then(|| self.text[start..begin].trim()));
                    self.position += 1;
                    (start, has_words) = (self.position, false);
                    last_word.clear();
                    continue;
                }
                character if character.is_alphabetic() || character == '_' => {
                    let length = self.rest().find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(self.rest().len());
                    let word = self.rest()[..length].to_ascii_lowercase();
                    match word.as_str() {
                        "atomic" if last_word == "begin" => atomic = 1,
                        "case" if atomic > 0 => atomic += 1,
                        "end" if atomic > 0 => atomic -= 1,
                        _ => {}
                    }
                    self.position += length;
                    last_word = word;
                    has_words = true;
                    continue;
                }
                _ => {}
            }
            if self.position == begin {
                self.position += next.len_utf8();
            }
            if !next.is_whitespace() {
                has_words = true;
                last_word.clear();
            }
        }
        found.extend(has_words.then(|| self.text[start..].trim()));
        Ok(found)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn quote(&mut self, has_escapes: bool) -> Result<(), Invalid> {
        self.position += 1;
        let mut escaped = false;
        for (index, character) in self.rest().char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' if has_escapes => escaped = true,
                '\'' => {
                    self.position += index + 1;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(open("a ' quote"))
    }

    /// Goes behind the next `end`.
    fn until(&mut self, end: &str, what: &str) -> Result<(), Invalid> {
        if end == "\"" {
            self.position += 1;
        }
        let index = self.rest().find(end).ok_or_else(|| open(what))?;
        self.position += index + end.len();
        Ok(())
    }

    /// `$$` or `$tag$`, where one begins here.
    fn dollar_tag(&self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest[1..].find('$')? + 2;
        let tag = &rest[1..end - 1];
        let fits = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_ascii_digit());
        fits.then(|| &rest[..end])
    }

    /// Comments nest.
    fn comment(&mut self) -> Result<(), Invalid> {
        let mut depth = 0usize;
        loop {
            let rest = self.rest();
            let (open_at, close_at) = (rest.find("/*"), rest.find("*/"));
            match (open_at, close_at) {
                (Some(begin), close) if close.is_none_or(|close| begin < close) => {
                    depth += 1;
                    self.position += begin + 2;
                }
                (_, Some(close)) => {
                    depth -= 1;
                    self.position += close + 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => return Err(open("a comment")),
            }
        }
    }
}

fn open(what: &str) -> Invalid {
    Invalid::new("SQL", "…", format!("{what} is not closed before the text ends"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        statements(&text.into()).expect("fits").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_where_postgres_sees_it() {
        assert_eq!(cut("SELECT 1; SELECT 2;"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(cut("-- only a comment;\n ; /* a; /* b; */ */ ;"), Vec::<String>::new());
        assert_eq!(cut("SELECT ';'';' ; SELECT E'\\';' ; SELECT \"a;\"\"b\"").len(), 3);
        assert_eq!(cut("DO $$ BEGIN x; END $$; SELECT $a$ $$; $a$").len(), 2);
        assert_eq!(cut("SELECT $1; SELECT a$b$c; SELECT 1"), ["SELECT $1", "SELECT a$b$c", "SELECT 1"]);
        assert_eq!(cut("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3").len(), 2);
        assert_eq!(cut("SELECT 1 -- ; 'no quote\n, 2"), ["SELECT 1 -- ; 'no quote\n, 2"]);
    }

    #[test]
    fn what_is_open_at_the_end_is_refused() {
        for text in ["SELECT 'a", "SELECT \"a", "DO $$ x", "/* a /* b */"] {
            assert!(statements(&text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_cannot_end_a_statement() {
        let text = Text::new([
            Part::Plain("ALTER ROLE app PASSWORD '".into()),
            Part::Secret { secret: "PW".into() },
            Part::Plain("'; SELECT 1".into()),
        ]);
        let cut = statements(&text).expect("fits");
        assert_eq!(cut[0].to_string(), "ALTER ROLE app PASSWORD '${PW}'");
        assert_eq!(cut[0].secrets().collect::<Vec<_>>(), ["PW"]);
        assert_eq!(cut.len(), 2);
    }
}
