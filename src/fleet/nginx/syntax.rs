//! nginx's configuration syntax: words, quotes, comments and blocks.

/// A directive: its words, and its block where it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directive {
    /// The name and its arguments, quotes and escapes resolved.
    pub words: Vec<String>,
    /// What stands between its braces.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// The directive's name.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// What stands in its block; nothing without one.
    pub fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// Reads a file. What nginx would refuse is read as far as it makes sense: nginx has accepted the file already.
pub fn read(text: &str) -> Vec<Directive> {
    // The blocks that are open, each with the words in front of its brace; the first is the file itself.
    let mut open: Vec<(Vec<String>, Vec<Directive>)> = vec![Default::default()];
    let mut words = Vec::new();
    for token in tokens(text) {
        match token {
            Token::Word(word) => words.push(word),
            Token::Open => open.push((std::mem::take(&mut words), Vec::new())),
            Token::End => finish(&mut open, Directive { words: std::mem::take(&mut words), block: None }),
            Token::Close => {
                words.clear();
                if open.len() > 1
                    && let Some((words, block)) = open.pop()
                {
                    finish(&mut open, Directive { words, block: Some(block) });
                }
            }
        }
    }
    open.into_iter().next().map(|(_, directives)| directives).unwrap_or_default()
}

fn finish(open: &mut [(Vec<String>, Vec<Directive>)], directive: Directive) {
    if let Some((_, directives)) = open.last_mut().filter(|_| !directive.words.is_empty()) {
        directives.push(directive);
    }
}

/// Cuts a text into tokens by the rules of nginx's `ngx_conf_read_token`: a quote or `#` counts only where a word begins, a
/// backslash takes the next character as it is, and `${` does not open a block.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(&character) = characters.peek() {
        match character {
            '#' => while characters.next_if(|character| *character != '\n').is_some() {},
            '"' | '\'' => {
                characters.next();
                tokens.push(Token::Word(quoted(&mut characters, character)));
            }
            ';' | '{' | '}' => {
                characters.next();
                tokens.push(match character {
                    ';' => Token::End,
                    '{' => Token::Open,
                    _ => Token::Close,
                });
            }
            character if character.is_whitespace() => {
                characters.next();
            }
            _ => tokens.push(Token::Word(bare(&mut characters))),
        }
    }
    tokens
}

fn quoted(characters: &mut impl Iterator<Item = char>, quote: char) -> String {
    let mut word = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next().map(unescaped)),
            character if character == quote => break,
            character => word.push(character),
        }
    }
    word
}

fn bare(characters: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> String {
    let mut word = String::new();
    while let Some(character) = characters.next_if(|character| !character.is_whitespace() && !";{".contains(*character)) {
        match character {
            '\\' => word.extend(characters.next().map(unescaped)),
            '$' => {
                word.push('$');
                word.extend(characters.next_if_eq(&'{'));
            }
            character => word.push(character),
        }
    }
    word
}

fn unescaped(character: char) -> char {
    match character {
        't' => '\t',
        'r' => '\r',
        'n' => '\n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        read(text).into_iter().map(|directive| directive.words).collect()
    }

    #[test]
    fn comments_and_quotes_hide_braces() {
        let read = read("# } { ;\nhttp { # {\n log_format x '} \"{' \"a;b\" ; }\nuser a#b;");
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].children()[0].words, ["log_format", "x", "} \"{", "a;b"]);
        assert_eq!(read[1].words, ["user", "a#b"]);
    }

    #[test]
    fn blocks_nest() {
        let read = read("a{b{c d;}e;}f;");
        assert_eq!(read[0].name(), "a");
        assert_eq!(read[0].children()[0].children()[0].words, ["c", "d"]);
        assert_eq!(read[0].children()[1].words, ["e"]);
        assert_eq!(read[1].words, ["f"]);
    }

    #[test]
    fn a_variable_in_braces_opens_no_block() {
        assert_eq!(words("set $a ${b}c; x;"), [vec!["set", "$a", "${b}c"], vec!["x"]]);
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(words(r#"a \;b "c\"d" 'e\tf';"#), [["a", ";b", "c\"d", "e\tf"]]);
    }

    #[test]
    fn a_quoted_expression_keeps_its_braces() {
        assert_eq!(words("rewrite '^/a{2}$' /b;"), [["rewrite", "^/a{2}$", "/b"]]);
    }

    #[test]
    fn broken_files_do_not_panic() {
        for text in ["", "}", "{{{", "a", "\"", "'\\", "a \\", "};};", "${", "#"] {
            read(text);
        }
    }
}
