//! What is known while a line is typed: completion, hints and colours, as pure functions of the line.

use std::sync::Arc;

use rhai::{Array, Dynamic};

use super::chain::{Link, chain};
use crate::script::{
    Imported, Members, options,
    pieces::{Kind, Piece, Pieces, Within},
    signatures, stdlib,
};

/// What a session has besides the language.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Variables, with their values.
    pub variables: Vec<(String, Dynamic)>,
    /// What modules are imported as.
    pub modules: Vec<String>,
    /// What stands in quotes: hosts, versions, files.
    pub texts: Vec<String>,
    /// The functions of imported modules.
    pub imported: Vec<Imported>,
    /// What values have.
    pub members: Arc<Members>,
    /// The prompt's own commands.
    pub commands: &'static [&'static str],
}

/// Words of the language.
const KEYWORDS: &[&str] = &[
    "let", "const", "if", "else", "for", "in", "while", "loop", "fn", "return", "import", "as", "try", "catch", "throw", "true", "false",
    "switch", "break", "continue", "private",
];

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
        let pieces = Pieces::of(text);
        match pieces.within {
            Within::Code => {}
            Within::Text(_, start) => {
                let is_import = pieces.all.iter().rev().nth(1).is_some_and(|before| before.is("import"));
                let modules = stdlib::MODULES.iter().map(|(name, _)| format!("std/{name}"));
                let all = if is_import { modules.collect() } else { self.texts.clone() };
                return (start, starting(all, &text[start..]));
            }
            Within::Comment | Within::Block => return (text.len(), Vec::new()),
        }
        let start = word_start(text);
        let (written, before) = (&text[start..], &text[..start]);
        if let Some(keys) = self.keys(text, &pieces, before) {
            return (start, starting(keys, written));
        }
        if let Some(owner) = before.strip_suffix('.').filter(|owner| !owner.ends_with('.')) {
            return (start, starting(self.members(owner.strip_suffix('?').unwrap_or(owner)), written));
        }
        if before.ends_with("::") {
            let alias = word_start(before.trim_end_matches(':'));
            let found = starting(self.imported.iter().map(|function| function.name.clone()).collect(), &text[alias..]);
            return (alias, found);
        }
        let mut all: Vec<String> = self.variables.iter().map(|(name, _)| name.clone()).chain(self.modules.iter().cloned()).collect();
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
        let Pieces { all, open, within } = Pieces::of(text);
        let mut calls = open.iter().rev().filter(|&&index| all[index].is("(")).map(|&index| called(&text[..all[index].start]));
        let function = calls.find(|function| !function.is_empty())?;
        let forms: Vec<String> = signatures()
            .filter(|signature| signature.name == function)
            .map(|function| if function.returns.is_empty() { function.to_string() } else { format!("{function} → {}", function.returns) })
            .collect();
        let imported = self.imported.iter().filter(|imported| imported.name == function);
        let forms: Vec<String> =
            forms.into_iter().chain(imported.map(|function| format!("{}({})", function.name, function.parameters))).collect();
        (within == Within::Code && !forms.is_empty()).then(|| format!("   {}", forms.join("   ")))
    }

    /// The keys that may stand at the end of a text in an option map.
    fn keys(&self, text: &str, Pieces { all, open, .. }: &Pieces<'_>, before: &str) -> Option<Vec<String>> {
        let [.., outer, map] = open.as_slice() else { return None };
        let (outer, map) = (all[*outer], all[*map]);
        let entries = &before[map.end()..];
        let at_key = entries.trim_end();
        if !(map.is("#{") && outer.is("(") && (at_key.is_empty() || at_key.ends_with(','))) {
            return None;
        }
        let function = called(&text[..outer.start]);
        let given: Vec<&str> = entries.split(',').filter_map(|entry| Some(entry.split_once(':')?.0.trim())).collect();
        let own = options::spec(function).into_iter().flat_map(|spec| spec.keys).map(|key| key.name);
        let imported = self.imported.iter().filter(|imported| imported.name == function).flat_map(|imported| &imported.options);
        let keys: Vec<&str> = own.chain(imported.map(String::as_str)).collect();
        (!keys.is_empty()).then(|| keys.into_iter().filter(|name| !given.contains(name)).map(|name| format!("{name}: ")).collect())
    }

    /// What may stand behind this and a dot.
    fn members(&self, owner: &str) -> Vec<String> {
        let Some(links) = chain(owner) else { return self.members.of_any() };
        match links.as_slice() {
            [Link::Call(function)] => self.members.of_returned(function).unwrap_or_else(|| self.members.of_any()),
            [Link::Name(root), rest @ ..] if !rest.iter().any(|link| matches!(link, Link::Call(_))) => {
                let Some((_, value)) = self.variables.iter().find(|(name, _)| name == root) else { return self.members.of_any() };
                let value = rest.iter().try_fold(value.clone(), |value, link| self.follow(&value, link));
                value.map(|value| self.members.of(&value)).unwrap_or_default()
            }
            _ => self.members.of_any(),
        }
    }

    fn follow(&self, value: &Dynamic, link: &Link<'_>) -> Option<Dynamic> {
        match link {
            Link::Name(name) => self.members.get(value, name),
            Link::Item(item) => match value.read_lock::<Array>() {
                // Of an item that only a run knows, the first one stands for all.
                Some(items) => items.get(item.parse().unwrap_or(0)).map(Dynamic::flatten_clone),
                None => self.members.get(value, item.trim_matches(['"', '`'])),
            },
            Link::Call(_) => None,
        }
    }

    /// The line with its words coloured; it is as wide as before.
    pub fn coloured(&self, line: &str) -> String {
        let (mut text, mut end) = (String::new(), 0);
        for piece in Pieces::of(line).all {
            text += &line[end..piece.start];
            match colour(&piece) {
                "" => text += piece.text,
                colour => text.extend(["\u{1b}[", colour, "m", piece.text, "\u{1b}[0m"]),
            }
            end = piece.end();
        }
        text + &line[end..]
    }
}

fn colour(piece: &Piece<'_>) -> &'static str {
    match piece.kind {
        Kind::Text => "32",
        Kind::Comment => "2",
        Kind::Number => "33",
        Kind::Word if KEYWORDS.contains(&piece.text) => "35",
        Kind::Word if signatures().any(|function| function.name == piece.text) => "36",
        Kind::Word | Kind::Open | Kind::Close | Kind::Sign => "",
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
    use rhai::Map;

    use super::*;
    use crate::model::Host;

    fn known() -> Known {
        let fleet: Array = vec![Dynamic::from(Host::parse("h1").expect("valid"))];
        let parameters = Map::from([("batch".into(), 1.into()), ("limits".into(), Map::from([("p95".into(), 2.into())]).into())]);
        Known {
            variables: vec![("web".into(), Dynamic::UNIT), ("fleet".into(), fleet.into()), ("p".into(), parameters.into())],
            modules: vec!["rolling".into()],
            texts: vec!["10.0.0.11".into(), "v1".into()],
            imported: vec![
                Imported {
                    name: "rolling::deploy".into(),
                    parameters: "service, img, fleet, opts".into(),
                    options: vec!["batch".into(), "pause".into()],
                },
                Imported { name: "rolling::retire".into(), ..Imported::default() },
            ],
            members: Arc::default(),
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
        assert_completes("old.ver", &["old.version", "old.versions"]);
        assert_completes(":h", &[":help", ":hosts"]);
        assert_completes(":help set_", &[":help set_weights"]);
        assert_completes(":plan dra", &[":plan drain"]);
        assert_completes("0..fle", &["0..fleet"]);
    }

    #[test]
    fn a_value_has_what_its_own_type_has() {
        assert_completes("fleet[0].", &["fleet[0].address", "fleet[0].labels", "fleet[0].name"]);
        assert_completes("fleet[n].na", &["fleet[n].name"]);
        assert_completes("p.", &["p.batch", "p.limits"]);
        assert_completes("p.limits.", &["p.limits.p95"]);
        assert_completes("p[\"limits\"].", &["p[\"limits\"].p95"]);
        assert_completes("p.batch.we", &[]);
        assert_completes("running(web, fleet)?.ve", &["running(web, fleet)?.version", "running(web, fleet)?.versions"]);
        assert_completes("running(web, fleet).na", &[]);
        assert_completes("releases(web, fleet).filter(|old| old.weig", &["releases(web, fleet).filter(|old| old.weight"]);
        assert_completes("fleet.fil", &["fleet.filter"]);
    }

    #[test]
    fn what_is_interpolated_is_completed_as_code() {
        assert_completes("info(`to ${fle", &["info(`to ${fleet"]);
        assert_completes("info(`to ${fleet[0].na", &["info(`to ${fleet[0].name"]);
        assert_completes("info(`${drain(web, #{ ti", &["info(`${drain(web, #{ timeout: "]);
        assert_completes("host(`${p.batch}1", &["host(`${p.batch}10.0.0.11"]);
        assert_completes("host(`10.", &["host(`10.0.0.11"]);
        assert_completes("web // fle", &[]);
        assert_eq!(known().hint("info(`${drain(").as_deref(), Some("   drain(release, options?) → Map"));
        assert_eq!(known().hint("info(`${drain(web)} an"), None);
        assert!(known().coloured("`a ${drain(web)}`").starts_with("\u{1b}[32m`a \u{1b}[0m${\u{1b}[36mdrain\u{1b}[0m(web)}\u{1b}[32m`"));
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
