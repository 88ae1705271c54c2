//! A command with its secrets in place, and the ways in which it is handed over.

use super::{
    super::{Secrets, connection::quoted},
    mark,
};
use crate::{
    failure::Failure,
    model::Token,
    op::{CommandLine, Invocation},
};

/// Reads a script up to the line that is its own name, and runs it; the rest of the standard input is left to what it runs.
/// Only the shell's own `read` takes no byte too many from a pipe: busybox's `head -c` does.
pub(super) const WRAPPER: &str = r#"s=; while IFS= read -r l && [ "$l" != "$0" ]; do s="$s$l
"; done; eval "unset s l
$s""#;

/// Runs a line that no process list may show.
pub(super) const HIDDEN_LINE: &str = r#"l=$PODLIFT_LINE; unset PODLIFT_LINE; eval "$l""#;

/// A command with its secrets in place.
pub(super) struct Resolved {
    pub(super) words: Result<Vec<String>, String>,
    /// Whether the line of a shell holds a value that no process list may show.
    pub(super) hidden: bool,
    pub(super) env: Vec<(String, String)>,
    pub(super) stdin: Vec<u8>,
}

impl Resolved {
    pub(super) fn new(invocation: &Invocation, secrets: &Secrets) -> Result<Self, Failure> {
        let words = match &invocation.command {
            CommandLine::Program(words) => Ok(words.iter().map(|word| secrets.resolve(word)).collect::<Result<_, _>>()?),
            CommandLine::Shell(line) => Err(secrets.resolve(line)?),
        };
        let hidden = matches!(&invocation.command, CommandLine::Shell(line) if line.secrets().next().is_some());
        let env = invocation.env.iter().map(|(name, value)| Ok((name.clone(), secrets.resolve(value)?)));
        let stdin = invocation.stdin.as_ref().map(|text| secrets.resolve(text)).transpose()?.unwrap_or_default();
        Ok(Self { words, hidden, env: env.collect::<Result<_, Failure>>()?, stdin: stdin.into_bytes() })
    }

    /// The program and its arguments, `sh` for a shell line.
    pub(super) fn program(&self) -> Vec<String> {
        match &self.words {
            Ok(words) => words.clone(),
            Err(_) if self.hidden => vec!["sh".into(), "-c".into(), HIDDEN_LINE.into()],
            Err(line) => vec!["sh".into(), "-c".into(), line.clone()],
        }
    }

    /// The variables that [`Self::program`] needs.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let line = self.words.as_ref().err().filter(|_| self.hidden).map(|line| ("PODLIFT_LINE", line.as_str()));
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(line)
    }

    /// What [`WRAPPER`] is called, and what it reads: the script, its name, the command's own standard input.
    pub(super) fn wrapped(&self, token: &Token) -> (String, Vec<u8>) {
        let mut script = String::new();
        for (name, value) in &self.env {
            script.extend(["export ", name, "=", &quoted(&[value]), "\n"]);
        }
        match &self.words {
            Ok(words) => script.extend(["exec ", &quoted(&words.iter().map(String::as_str).collect::<Vec<_>>()), "\n"]),
            Err(line) => script.extend([line, "\n"]),
        }
        let mut name = format!("podlift-{token}");
        while script.contains(&name) {
            name.push('-');
        }
        script.extend([&name, "\n"]);
        let mut stdin = script.into_bytes();
        stdin.extend_from_slice(&self.stdin);
        (name, stdin)
    }

    pub(super) fn environment(&self, token: &Token) -> Vec<String> {
        self.variables().map(|(name, value)| format!("{name}={value}")).chain([mark(token)]).collect()
    }
}
