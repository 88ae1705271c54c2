//! The line editor's view of what is known.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustyline::{
    Context, Helper,
    completion::Completer,
    highlight::{CmdKind, Highlighter},
    hint::{Hint, Hinter},
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::known::Known;

/// Tells whether a text goes on in the next line.
pub type IsIncomplete = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Helps whoever types.
#[derive(Clone)]
pub struct Help {
    /// What is known; it grows as the session goes on.
    pub known: Arc<Mutex<Known>>,
    /// Whether a text goes on in the next line.
    pub is_incomplete: IsIncomplete,
    /// Whether there are colours.
    pub colour: bool,
}

impl Help {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the words that fit are listed: they are on a screen of 24 lines.
const LISTED: usize = 39;

/// What a call takes: shown behind the line, never inserted.
pub struct Signature(String);

impl Hint for Signature {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Help {
    type Hint = Signature;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Signature> {
        (pos == line.len()).then(|| self.known().hint(line)).flatten().map(Signature)
    }
}

impl Completer for Help {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, mut all) = self.known().completions(&line[..pos]);
        // A list that is longer than the screen would be asked about, and that question hears neither ctrl-C nor the end of the run.
        if let Some(more @ 2..) = all.len().checked_sub(LISTED) {
            all.truncate(LISTED);
            all.push(format!("… {more} more"));
        }
        Ok((start, all))
    }
}

impl Highlighter for Help {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colour { self.known().coloured(line).into() } else { line.into() }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colour { format!("\u{1b}[2m{hint}\u{1b}[0m").into() } else { hint.into() }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.colour
    }
}

impl Validator for Help {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let goes_on = !input.starts_with(':') && (self.is_incomplete)(input);
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for Help {}
