//! Finds what is wrong with a script and its imports before anything runs: all findings at once, sorted by place.
//!
//! Each pass is a file and returns a list. What host functions there are comes as a [`Vocabulary`].

mod calls;
mod captures;
mod contexts;
mod interpolation;
mod literals;
mod nearest;
mod options;
mod program;
mod questions;
mod services;
mod shadowing;
mod statements;
mod syntax;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod variables;
mod vocabulary;

use std::collections::BTreeSet;

use rhai::{AST, Engine};

pub use self::options::declared as declared_options;
use self::program::Program;
pub use self::syntax::{message as parse_message, uncapitalised};
pub use self::vocabulary::{Fits, OptionKey, Vocabulary};
use super::resolver::Resolver;
use crate::failure::Origin;

/// A script to check: one that would be run, not a module.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What messages call it: its path as the user wrote it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it begins.
    pub origin: Origin,
    /// How many characters of the line it is about.
    pub length: usize,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn maybe(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// What a check found, and the scripts as they were parsed, in the order in which they were given.
pub struct Examined {
    /// Everything that is wrong, by file, line and column, the scripts that were given before their imports.
    pub findings: Vec<Finding>,
    /// The syntax trees of the scripts that were given; a script that does not parse has none.
    pub trees: Vec<Option<AST>>,
    /// The names of the functions that the scripts and their imports define.
    pub functions: BTreeSet<String>,
    /// The names of the questions that they ask; `None` where only a run knows one.
    pub questions: Option<BTreeSet<String>>,
}

/// Checks scripts and everything that they import. `engine` must not optimise, or the positions of option keys are lost.
pub fn check(engine: &Engine, resolver: &Resolver, vocabulary: &Vocabulary, entries: &[Entry<'_>]) -> Examined {
    let (program, mut findings) = Program::read(engine, resolver, entries);
    let passes = [
        calls::unknown,
        shadowing::shadowing,
        options::options,
        types::wrong,
        interpolation::quoted,
        captures::lost,
        literals::grammar,
        values::refused,
        services::contradictory,
        contexts::missing,
        statements::statements,
    ];
    for script in &program.scripts {
        for pass in passes {
            findings.extend(pass(script, &program, vocabulary));
        }
    }
    let rank = |finding: &Finding| program.scripts.iter().position(|script| script.name() == &*finding.origin.file);
    findings.sort_by_cached_key(|finding| (rank(finding).unwrap_or(usize::MAX), finding.clone()));
    findings.dedup();
    let trees = entries
        .iter()
        .map(|entry| program.scripts.iter().find(|script| script.name() == entry.name).map(|script| script.tree().clone()))
        .collect();
    let functions = program.scripts.iter().flat_map(|script| &script.functions).map(|function| function.name.clone()).collect();
    Examined { findings, trees, functions, questions: questions::names(&program) }
}
