//! The operator's environment: the process's variables, then `.env` beside the script.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, model::name::env_name, script::SecretNames};

/// Where secrets come from.
#[derive(Clone)]
pub struct Environment {
    folder: PathBuf,
    file: BTreeMap<String, String>,
    process: fn(&str) -> Option<String>,
}

impl Environment {
    /// This process's, with the `.env` in `folder` if there is one.
    pub fn beside(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(".env");
        let file = if path.exists() { read(&path)? } else { BTreeMap::new() };
        Ok(Self { folder: folder.to_path_buf(), file, process: |name| std::env::var(name).ok() })
    }

    /// A secret's value. One of an env file is called `PATH#NAME`, its path relative to the script's folder.
    pub fn value(&self, name: &str) -> Option<String> {
        match name.rsplit_once('#') {
            Some((path, name)) => read(&self.folder.join(path)).ok()?.remove(name),
            None => (self.process)(name).or_else(|| self.file.get(name).cloned()),
        }
    }
}

impl SecretNames for Environment {
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        Ok(read(&self.folder.join(path))?.into_keys().collect())
    }
}

/// Reads an env file; its errors never show its text.
fn read(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let unreadable = |why: String| Failure::refused(format!("the env file {} cannot be read: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(&text).map_err(|line| {
        unreadable(format!("line {line} is not NAME=VALUE"))
            .hint("a value is taken as it stands; around white space or a line's end write 'single' or \"double\" quotes")
    })
}

/// Reads lines of `NAME=VALUE`, as `docker run --env-file` does: a value is taken as it stands, `$` and `#` in it too. Quotes
/// around the whole of it are taken off; within double ones `\\n`, `\\"` and `\\\\` are escapes. Fails with the number of a line that
/// does not fit.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut variables = BTreeMap::new();
    for (number, line) in (1usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (name, value) = line.split_once('=').ok_or(number)?;
        env_name(name.trim()).map_err(|_| number)?;
        variables.insert(name.trim().to_owned(), unquoted(value.trim()));
    }
    Ok(variables)
}

fn unquoted(value: &str) -> String {
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(plain) = within('\'') {
        return plain.to_owned();
    }
    let Some(escaped) = within('"') else { return value.to_owned() };
    let mut plain = String::new();
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match (character, characters.clone().next()) {
            ('\\', Some(next @ ('n' | '"' | '\\'))) => {
                characters.next();
                plain.push(if next == 'n' { '\n' } else { next });
            }
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_wins_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(".env"), "TOKEN=from-file\nOTHER='a b'\n").expect("writes");
        std::fs::write(folder.path().join("web.env"), "PORT=8000\n").expect("writes");
        let process = |name: &str| (name == "TOKEN").then(|| "from-process".to_string());
        let environment = Environment { process, ..Environment::beside(folder.path()).expect("reads") };
        assert_eq!(environment.value("TOKEN").as_deref(), Some("from-process"));
        assert_eq!(environment.value("OTHER").as_deref(), Some("a b"));
        assert_eq!(environment.in_file("web.env").expect("reads"), ["PORT"]);
        assert_eq!(environment.value("web.env#PORT").as_deref(), Some("8000"));
        assert!(!environment.has("NONE"));
    }

    #[test]
    fn a_value_is_taken_as_it_stands() {
        let text = "# passwords\nA=hunter2$ecret\nexport B=p@ss$$w0rd #1\n\nC='it is $HOME'\nD=\"two\\nlines \\\"x\\\"\"\nE=it's\nF=back\\slash\nG=\nH=a=b\n";
        let variables = parse(text).expect("each line fits");
        let of = |name: &str| variables[name].as_str();
        assert_eq!([of("A"), of("B"), of("C")], ["hunter2$ecret", "p@ss$$w0rd #1", "it is $HOME"]);
        assert_eq!([of("D"), of("E"), of("F")], ["two\nlines \"x\"", "it's", "back\\slash"]);
        assert_eq!([of("G"), of("H")], ["", "a=b"]);
        assert_eq!(parse("A=1\nno value"), Err(2));
        assert_eq!(parse("A-B=1"), Err(1));
    }

    #[test]
    fn a_broken_file_does_not_tell_its_text() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(".env"), "hunter2 is my password\n").expect("writes");
        let Err(failure) = Environment::beside(folder.path()) else { panic!("it is broken") };
        assert!(failure.message.contains(".env") && !failure.message.contains("hunter2"), "{failure}");
    }
}
