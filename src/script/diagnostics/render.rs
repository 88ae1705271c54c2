//! Diagnostics as text for people.

use std::{
    fmt::{self, Write},
    ops::Range,
};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use super::Diagnostic;
use crate::{
    failure::Origin,
    script::{pieces::Pieces, sources::Sources},
};

/// Renders diagnostics one after the other, each with the lines that it is about: message, place, calls, what the host said,
/// and what to do next. Without `colour` it is plain text.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(120);
    let mut text = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        // Writing to a String cannot fail, and a report that cannot be drawn still has its message.
        if handler.render_report(&mut text, &Snippet::of(diagnostic, sources)).is_err() {
            let _ = writeln!(text, "  × {}", diagnostic.message);
        }
        let _ = footer(&mut text, diagnostic);
    }
    text
}

fn footer(text: &mut String, diagnostic: &Diagnostic) -> fmt::Result {
    for frame in &diagnostic.stack {
        writeln!(text, "  in {}, {}", frame.what, frame.origin)?;
    }
    for detail in &diagnostic.details {
        writeln!(text, "  {}:", detail.title)?;
        for line in detail.text.lines() {
            writeln!(text, "    {line}")?;
        }
    }
    for hint in &diagnostic.hints {
        writeln!(text, "  help: {hint}")?;
    }
    Ok(())
}

/// Whether a message says the host's name itself.
fn names(message: &str, host: &str) -> bool {
    let in_name = |character: char| character.is_alphanumeric() || "-._:".contains(character);
    message.split(|character| !in_name(character)).any(|word| word.trim_end_matches(['.', ':']) == host)
}

/// A diagnostic's message over its lines of the script.
#[derive(Debug)]
struct Snippet {
    message: String,
    source: Option<NamedSource<String>>,
    span: SourceSpan,
}

impl Snippet {
    fn of(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        let message = match &diagnostic.host {
            Some(host) if !names(&diagnostic.message, host.as_str()) => format!("{host}: {}", diagnostic.message),
            _ => diagnostic.message.clone(),
        };
        let origin = diagnostic.origin();
        let text = origin.as_ref().and_then(|origin| sources.text(&origin.file));
        match (origin, text) {
            (Some(origin), Some(text)) => {
                let span = span(&text, &origin, diagnostic.length.unwrap_or(1));
                Self { message, source: Some(NamedSource::new(&origin.file, without_passwords(&text))), span }
            }
            (Some(origin), None) => Self { message: format!("{origin}: {message}"), source: None, span: (0, 0).into() },
            _ => Self { message, source: None, span: (0, 0).into() },
        }
    }
}

/// The text with stars, byte for byte, where an address that is written out has a password. What is interpolated is code, and shown.
fn without_passwords(text: &str) -> String {
    let code = Pieces::of(text).interpolated();
    let is_code = |index: usize| code.iter().any(|code| code.contains(&index));
    // No address has a byte that is zero.
    let plain: String =
        text.char_indices().map(|(index, one)| if is_code(index) { "\0".repeat(one.len_utf8()) } else { one.into() }).collect();
    let mut passwords = Vec::new();
    let mut at = 0;
    while let Some(start) = plain[at..].find("://") {
        let begin = at + start + "://".len();
        at = plain[begin..].find(|one: char| one.is_whitespace() || "\"'`".contains(one)).map_or(plain.len(), |length| begin + length);
        passwords.extend(passwords_of(&plain[begin..at]).map(|password| begin + password.start..begin + password.end));
    }
    let is_shown = |index: usize| is_code(index) || !passwords.iter().any(|password| password.contains(&index));
    text.char_indices().map(|(index, one)| if is_shown(index) { one.into() } else { "*".repeat(one.len_utf8()) }).collect()
}

/// Where an address has a password: before its host, and as a parameter.
fn passwords_of(address: &str) -> impl Iterator<Item = Range<usize>> {
    let user = &address[..address.rfind('@').unwrap_or(0)];
    let before_host = user.find(':').map(|colon| colon + 1..user.len());
    let parameter = address.find("password=").map(|start| start + "password=".len());
    let in_query = parameter.map(|start| start..address[start..].find('&').map_or(address.len(), |end| start + end));
    before_host.into_iter().chain(in_query)
}

/// The bytes of a text that `length` characters at a place are.
fn span(text: &str, origin: &Origin, length: usize) -> SourceSpan {
    let before: usize = text.split_inclusive('\n').take(origin.line - 1).map(str::len).sum();
    let line = text[before..].lines().next().unwrap_or_default();
    let bytes = |characters: usize| line.char_indices().nth(characters).map_or(line.len(), |(index, _)| index);
    let start = bytes(origin.column - 1);
    (before + start, bytes(origin.column - 1 + length) - start).into()
}

impl fmt::Display for Snippet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Snippet {}

impl miette::Diagnostic for Snippet {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, self.span))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_names_the_host_is_not_told_twice_where_it_was() {
        assert!(names("h1 refused the SSH connection", "h1") && names("h1's host key is not known", "h1"));
        assert!(names("port 22 is taken on 10.0.0.1.", "10.0.0.1"));
        assert!(!names("shop-web-v1 on h12 is not healthy", "h1") && !names("web is unhealthy", "web.example"));
    }
    #[test]
    fn a_password_that_is_written_out_is_not_shown() {
        for (text, shown) in [
            ("db(\"postgres://u:hunter2@db/shop\");", "db(\"postgres://u:*******@db/shop\");"),
            ("'postgres://db/shop?password=hunter2&x=1' http://h:80/", "'postgres://db/shop?password=*******&x=1' http://h:80/"),
            ("`postgres://u:${secret(\"PW\")}@db`", "`postgres://u:${secret(\"PW\")}@db`"),
            ("`postgres://${secret(\"U\")}:hunter2@db/shop`", "`postgres://${secret(\"U\")}:*******@db/shop`"),
            ("`postgres://u:half${secret(\"PW\")}@db`; x", "`postgres://u:****${secret(\"PW\")}@db`; x"),
            ("`postgres://u:é${#{ a: \"}@:\" }.a}b@db`", "`postgres://u:**${#{ a: \"}@:\" }.a}*@db`"),
            ("\"postgres://u:${no}@db\"", "\"postgres://u:*****@db\""),
            ("// see https://h/a:b and u:c@d", "// see https://h/a:b and u:c@d"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
