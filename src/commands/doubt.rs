//! Who says what became of a command that was asked for and not answered.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::identity;
use crate::{
    cli::InDoubt,
    executor::record::{Answer, Decide},
    failure::Failure,
    journal::{How, Intent},
    model::{Key, RunId},
    terminal::{Printer, clean, prompt, words::Line},
};

/// The command line's answer, else a person's at the terminal.
pub struct Doubt {
    said: Option<InDoubt>,
    printer: Printer,
    /// What was answered, by call.
    answers: Mutex<HashMap<Key, Answer>>,
}

impl Doubt {
    /// What the command line says, and where a person is asked if it says nothing.
    pub fn new(said: Option<InDoubt>, printer: &Printer) -> Self {
        Self { said, printer: printer.clone(), answers: Mutex::default() }
    }

    /// Has all of these calls answered before anything of `run` is done or undone.
    ///
    /// # Errors
    /// Refused where nobody is there to ask, or does not know: with the calls, and what can be said of them.
    pub fn settle(&self, calls: &[Intent], run: &RunId, how: How) -> Result<(), Failure> {
        let is_known = |call: &&Intent| match self.answer(call, how) {
            Answer::Abort => false,
            // What is taken back is not done again first.
            Answer::Redo => can_be_redone(call, how),
            Answer::Done | Answer::Skip => true,
        };
        let unknown: Vec<&Intent> = calls.iter().filter(|call| !is_known(call)).collect();
        if unknown.is_empty() { Ok(()) } else { Err(refusal(&unknown, run, how)) }
    }

    fn answer(&self, call: &Intent, how: How) -> Answer {
        if let Some(answer) = self.answers().get(&call.asked.key) {
            return answer.clone();
        }
        let answer = self.said().unwrap_or_else(|| self.asked(call, how));
        self.answers().insert(call.asked.key.clone(), answer.clone());
        answer
    }

    /// What was said beforehand, of any such call, so that nobody has to be asked.
    fn said(&self) -> Option<Answer> {
        self.said.map(|said| match said {
            InDoubt::Done => Answer::Done,
            InDoubt::Redo => Answer::Redo,
            InDoubt::Skip => Answer::Skip,
            InDoubt::Abort => Answer::Abort,
        })
    }

    fn asked(&self, call: &Intent, how: How) -> Answer {
        let (choice, answers): (_, &[&str]) = if can_be_redone(call, how) {
            ("done, redo, skip or abort?", &["done", "redo", "skip", "abort"])
        } else {
            ("done, skip or abort?", &["done", "skip", "abort"])
        };
        let question = clean::line(&format!("{} was begun at {} and not answered: {choice}", told(call), call.at));
        match prompt::choose(&self.printer, &question, answers, || false) {
            Some("done") => Answer::Done,
            Some("redo") => Answer::Redo,
            Some("skip") => Answer::Skip,
            _ => Answer::Abort,
        }
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Key, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decide for Doubt {
    fn decide(&self, intent: &Intent) -> Answer {
        self.answer(intent, How::Resume)
    }

    fn who(&self) -> String {
        identity::new_run().operator
    }
}

/// Whether a command can be done again: by a run that goes on, and of one that is taken back what takes something back.
fn can_be_redone(call: &Intent, how: How) -> bool {
    how != How::Undo || call.asked.key.is_undo()
}

/// The call in words: what, and where.
fn told(call: &Intent) -> String {
    let Line { host, verb, description } = Line::of(&call.asked.op);
    let place = if host == "here" { host } else { format!("on {host}") };
    format!("`{verb}` {description} {place}")
}

fn refusal(unknown: &[&Intent], run: &RunId, how: How) -> Failure {
    let failure = match unknown {
        [call] => Failure::refused(format!("{} was begun and not answered: nobody knows whether it was done", told(call)))
            .from(&call.asked.origin),
        calls => {
            let lines: Vec<String> =
                calls.iter().map(|call| format!("{}, {}, begun at {}", told(call), call.asked.origin, call.at)).collect();
            let message = format!("{} commands were begun and not answered: nobody knows whether they were done", calls.len());
            Failure::refused(message).detail("they are", lines.join("\n"))
        }
    };
    let hint = match how {
        How::Undo if unknown.iter().any(|call| can_be_redone(call, how)) => {
            format!("find out, then `podlift undo {run} --in-doubt done`, or `redo` (it is run again), or `skip` (it is left out)")
        }
        How::Undo => {
            format!(
                "find out, then `podlift undo {run} --in-doubt done` (it was done: its `undo` is run), or `--in-doubt skip` (it was not)"
            )
        }
        How::Run | How::Resume => {
            format!("find out, then `podlift resume {run} --in-doubt done`, or `redo` (it is done again), or `skip` (it is left out)")
        }
    };
    let elsewhere = unknown.iter().filter_map(|call| call.asked.op.host()).find(|host| !host.is_local());
    let failure = match elsewhere {
        Some(host) => failure.hint(format!(
            "nobody has ended it on {}: it may still run there, and only `redo` ends it first, with all that it left running, but for what runs as another user",
            host.name
        )),
        None => failure,
    };
    let failure = failure.hint(hint);
    if unknown.len() > 1 { failure.hint("one answer goes for all of them; at a terminal each is asked about") } else { failure }
}
