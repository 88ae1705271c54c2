//! What is known while a line is typed: completion, hints and colours, as pure functions of the line.

use crate::script::{Imported, options, signatures, stdlib};

/// What a session has besides the language.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Variables, and what modules are imported as.
    pub names: Vec<String>,
    /// What stands in quotes: hosts, versions, files.
    pub texts: Vec<String>,
    /// The functions of imported modules.
    pub imported: Vec<Imported>,
    /// The properties of values.
    pub properties: Vec<String>,
    /// The prompt's own commands.
    pub commands: &'static [&'static str],
}

/// Words of the language.
const KEYWORDS: &[&str] = &[
    "let", "const", "if", "else", "for", "in", "while", "loop", "fn", "return", "import", "as", "try", "catch", "throw", "true", "false",
    "switch", "break", "continue", "private",
];

/// An open bracket, and the function that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    bracket: char,
    function: String,
    start: usize,
}

/// Where the end of a text is: the brackets that are open there, and the quote, if it is within a string.
fn scan(text: &str) -> (Vec<Open>, Option<(char, usize)>) {
    let mut open: Vec<Open> = Vec::new();
    let mut quote: Option<(char, usize)> = None;
    let mut before = ' ';
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some((mark, _)), _) if character == mark && before != '\\' => quote = None,
            (None, '"' | '`') => quote = Some((character, index)),
            (None, '(' | '[' | '{') => {
                let bracket = if character == '{' && before == '#' { '#' } else { character };
                open.push(Open { bracket, function: called(&text[..index]).into(), start: index + 1 });
            }
            (None, ')' | ']' | '}') => drop(open.pop()),
            _ => {}
        }
        before = character;
    }
    (open, quote)
}

/// The name at the end of a text, with the module's before it.
fn called(text: &str) -> &str {
    let start = word_start(text);
    let module = text[..start].strip_suffix("::").map(word_start).filter(|module| text[..start].len() > module + 2);
    &text[module.unwrap_or(start)..]
}

/// Where the word at the end of a text begins.
fn word_start(text: &str) -> usize {
    text.char_indices().rev().take_while(|(_, one)| one.is_alphanumeric() || *one == '_').last().map_or(text.len(), |(index, _)| index)
}

impl Known {
    /// What the word at the end of `text` may become, and where it begins.
    pub fn completions(&self, text: &str) -> (usize, Vec<String>) {
        if let Some(command) = text.strip_prefix(':') {
            return self.of_command(command);
        }
        let (open, quote) = scan(text);
        if let Some((_, start)) = quote {
            let written = &text[start + 1..];
            let modules = stdlib::MODULES.iter().map(|(name, _)| format!("std/{name}"));
            let all = if text[..start].trim_end().ends_with("import") { modules.collect() } else { self.texts.clone() };
            return (start + 1, starting(all, written));
        }
        let start = word_start(text);
        let (written, before) = (&text[start..], &text[..start]);
        if let Some(open) = open.last().filter(|open| open.bracket == '#')
            && let Some(keys) = self.keys(text, open, before)
        {
            return (start, starting(keys, written));
        }
        if before.ends_with('.') && !before.ends_with("..") {
            return (start, starting(self.properties.clone(), written));
        }
        if before.ends_with("::") {
            let alias = word_start(before.trim_end_matches(':'));
            let found = starting(self.imported.iter().map(|function| function.name.clone()).collect(), &text[alias..]);
            return (alias, found);
        }
        let mut all = self.names.clone();
        all.extend(signatures().map(|function| function.name.to_owned()));
        all.extend(KEYWORDS.iter().map(|&word| word.to_owned()));
        (start, starting(all, written))
    }

    fn of_command(&self, text: &str) -> (usize, Vec<String>) {
        match text.split_once(' ') {
            None => (1, starting(self.commands.iter().map(|&command| command.to_owned()).collect(), text)),
            Some(("help", name)) => {
                let modules = stdlib::MODULES.iter().map(|(name, _)| format!("std/{name}"));
                let all = signatures().map(|function| function.name.to_owned()).chain(modules).collect();
                (text.len() - name.len() + 1, starting(all, name))
            }
            Some(("plan", rest)) => {
                let (start, found) = self.completions(rest);
                (text.len() - rest.len() + 1 + start, found)
            }
            Some((_, rest)) => (text.len() - rest.len() + 1, starting(self.texts.clone(), rest)),
        }
    }

    /// What the call that `text` ends in takes.
    pub fn hint(&self, text: &str) -> Option<String> {
        let (open, quote) = scan(text);
        let call = open.iter().rev().find(|open| open.bracket == '(' && !open.function.is_empty())?;
        let forms: Vec<String> = signatures()
            .filter(|function| function.name == call.function)
            .map(|function| if function.returns.is_empty() { function.to_string() } else { format!("{function} → {}", function.returns) })
            .collect();
        let imported = self.imported.iter().filter(|function| function.name == call.function);
        let forms: Vec<String> =
            forms.into_iter().chain(imported.map(|function| format!("{}({})", function.name, function.parameters))).collect();
        (quote.is_none() && !forms.is_empty()).then(|| format!("   {}", forms.join("   ")))
    }

    /// The keys that may stand at the end of a text in an option map.
    fn keys(&self, text: &str, map: &Open, before: &str) -> Option<Vec<String>> {
        let (outer, _) = scan(&text[..map.start.saturating_sub(2)]);
        let call = outer.last().filter(|open| open.bracket == '(')?;
        let at_key = before[map.start..].trim_end();
        if !(at_key.is_empty() || at_key.ends_with(',')) {
            return None;
        }
        let given: Vec<&str> = before[map.start..].split(',').filter_map(|entry| Some(entry.split_once(':')?.0.trim())).collect();
        let own = options::spec(&call.function).into_iter().flat_map(|spec| spec.keys).map(|key| key.name);
        let imported = self.imported.iter().filter(|function| function.name == call.function).flat_map(|function| &function.options);
        let keys: Vec<&str> = own.chain(imported.map(String::as_str)).collect();
        (!keys.is_empty()).then(|| keys.into_iter().filter(|name| !given.contains(name)).map(|name| format!("{name}: ")).collect())
    }

    /// The line with its words coloured; it is as wide as before.
    pub fn coloured(&self, line: &str) -> String {
        let mut text = String::new();
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let (length, colour) = piece(rest, first);
            let (word, after) = rest.split_at(length);
            match colour {
                "" => text += word,
                colour => text.extend(["\u{1b}[", colour, "m", word, "\u{1b}[0m"]),
            }
            rest = after;
        }
        text
    }
}

/// How long the piece is that a text begins with, and its colour.
fn piece(text: &str, first: char) -> (usize, &'static str) {
    let taken = |fits: fn(char) -> bool| text.find(|one| !fits(one)).unwrap_or(text.len());
    match first {
        '"' | '`' => {
            let mut before = ' ';
            let end = text.char_indices().skip(1).find(|(_, one)| {
                let ends = *one == first && before != '\\';
                before = *one;
                ends
            });
            (end.map_or(text.len(), |(index, _)| index + 1), "32")
        }
        '/' if text.starts_with("//") => (text.len(), "2"),
        '0'..='9' => (taken(|one| one.is_ascii_alphanumeric() || one == '_'), "33"),
        _ if first.is_alphabetic() || first == '_' => {
            let length = taken(|one| one.is_alphanumeric() || one == '_');
            let word = &text[..length];
            let colour = if KEYWORDS.contains(&word) {
                "35"
            } else if signatures().any(|function| function.name == word) {
                "36"
            } else {
                ""
            };
            (length, colour)
        }
        _ => (first.len_utf8(), ""),
    }
}

fn starting(mut all: Vec<String>, written: &str) -> Vec<String> {
    all.retain(|one| one.starts_with(written) && one != written);
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            names: vec!["web".into(), "fleet".into()],
            texts: vec!["10.0.0.11".into(), "v1".into()],
            imported: vec![
                Imported {
                    name: "rolling::deploy".into(),
                    parameters: "service, img, fleet, opts".into(),
                    options: vec!["batch".into(), "pause".into()],
                },
                Imported { name: "rolling::retire".into(), ..Imported::default() },
            ],
            properties: vec!["version".into(), "weight".into()],
            commands: &["help", "hosts", "status"],
        }
    }

    #[track_caller]
    fn assert_completes(text: &str, expected: &[&str]) {
        let (start, found) = known().completions(text);
        let whole: Vec<String> = found.iter().map(|found| format!("{}{found}", &text[..start])).collect();
        assert_eq!(whole, expected);
    }

    #[test]
    fn what_fits_where_the_line_ends_is_offered() {
        assert_completes("set_", &["set_weights"]);
        assert_completes("let x = we", &["let x = web", "let x = weights"]);
        assert_completes("drain(web, #{ ti", &["drain(web, #{ timeout: "]);
        assert_completes("drain(web, #{ timeout: \"5s\", on", &["drain(web, #{ timeout: \"5s\", on_timeout: "]);
        assert_completes("host(\"10.", &["host(\"10.0.0.11"]);
        assert_completes("import \"std/ro", &["import \"std/rollback", "import \"std/rolling"]);
        assert_completes("rolling::de", &["rolling::deploy"]);
        assert_completes(
            "rolling::deploy(web, img, fleet, #{ pause: \"1s\", ",
            &["rolling::deploy(web, img, fleet, #{ pause: \"1s\", batch: "],
        );
        assert_completes("old.ver", &["old.version"]);
        assert_completes(":h", &[":help", ":hosts"]);
        assert_completes(":help set_", &[":help set_weights"]);
        assert_completes(":plan dra", &[":plan drain"]);
        assert_completes("0..fle", &["0..fleet"]);
    }

    #[test]
    fn a_call_shows_what_it_takes() {
        assert_eq!(known().hint("drain(").as_deref(), Some("   drain(release, options?) → Map"));
        assert_eq!(known().hint("drain(running(web, fleet), #{ ").as_deref(), Some("   drain(release, options?) → Map"));
        assert_eq!(known().hint("rolling::deploy(web, ").as_deref(), Some("   rolling::deploy(service, img, fleet, opts)"));
        assert!(known().hint("start(").is_some_and(|hint| hint.matches("start(").count() > 1));
        assert_eq!((known().hint("drain(old)"), known().hint("let a = (1"), known().hint("host(\"")), (None, None, None));
    }

    #[test]
    fn colours_do_not_change_the_width() {
        let line = "let x = drain(\"a \\\" b\", 30); // näh `";
        let coloured = known().coloured(line);
        let plain =
            ["35", "36", "32", "33", "2", "0"].iter().fold(coloured.clone(), |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        assert_eq!(plain, line);
        assert!(
            coloured.starts_with("\u{1b}[35mlet\u{1b}[0m x = \u{1b}[36mdrain\u{1b}[0m(\u{1b}[32m\"a \\\" b\"\u{1b}[0m"),
            "{coloured:?}"
        );
    }

    #[test]
    fn no_line_makes_it_stumble() {
        for line in ["", "#{", "))", "\"", "`", "::", ".", "f(#{", ":", ": ", ":help ", "ä.", "#{ ä", "(#{ä:"] {
            let (start, _) = known().completions(line);
            assert!(line.is_char_boundary(start), "{line}");
            let _ = (known().hint(line), known().coloured(line));
        }
    }
}
