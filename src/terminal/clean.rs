//! What hosts say, made harmless: a terminal obeys escape sequences, whoever sent them.

/// The text without escape sequences, control characters and marks that change the direction of writing. Lines and tabs stay.
pub fn block(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\u{9b}' => skip_control_sequence(&mut characters),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut characters),
            '\r' => {
                if characters.peek() != Some(&'\n') {
                    clean.push('\n');
                }
            }
            '\n' | '\t' => clean.push(character),
            '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ if character.is_control() => {}
            _ => clean.push(character),
        }
    }
    clean
}

/// The same, with podlift's own colours left in.
pub fn styled(text: &str) -> String {
    const COLOURS: [&str; 8] = ["0", "1", "2", "31", "32", "33", "35", "36"];
    let pieces = text.split("\u{1b}[").enumerate().map(|(index, piece)| match piece.split_once('m') {
        Some((code, rest)) if index > 0 && COLOURS.contains(&code) => format!("\u{1b}[{code}m{}", block(rest)),
        _ if index > 0 => block(&format!("\u{1b}[{piece}")),
        _ => block(piece),
    });
    pieces.collect()
}

/// The same on one line: each run of white space is one space.
pub fn line(text: &str) -> String {
    block(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips what follows an escape character (ECMA-48, 5.3 and 5.4).
fn skip_escape(characters: &mut Characters<'_>) {
    match characters.peek() {
        Some('[') => {
            characters.next();
            skip_control_sequence(characters);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            characters.next();
            skip_string(characters);
        }
        _ => {
            while characters.next_if(|character| (' '..='/').contains(character)).is_some() {}
            characters.next_if(|character| ('0'..='~').contains(character));
        }
    }
}

/// Skips a control sequence's parameters and its final character; one that is cut short ends where it is cut.
fn skip_control_sequence(characters: &mut Characters<'_>) {
    while characters.next_if(|character| (' '..='?').contains(character)).is_some() {}
    characters.next_if(|character| ('@'..='~').contains(character));
}

/// Skips a command string up to its terminator; one without a terminator ends with its line.
fn skip_string(characters: &mut Characters<'_>) {
    while let Some(character) = characters.next_if(|character| *character != '\n') {
        match character {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                characters.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(block("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(block("a\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c"), "abc");
        assert_eq!(block("\u{1b}(Bx\u{1b}cy\u{9b}2Jz"), "xyz");
        assert_eq!(block("10%\r20%\r\ndone\u{8}\u{0}"), "10%\n20%\ndone");
        assert_eq!(block("a\u{202e}b\u{2066}c"), "abc");
        assert_eq!(block("cut \u{1b}["), "cut ");
        assert_eq!(block("\u{1b}]never ends\nnext"), "\nnext");
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line("one\n\ttwo\r\nthree  "), "one two three");
        assert_eq!(line("größe ✓ 10 °C"), "größe ✓ 10 °C");
    }
}
