//! Who says what became of a command that was asked for and not answered.

use clap::ValueEnum;

use super::identity;
use crate::{
    cli::InDoubt,
    executor::record::{Answer, Decide},
    journal::Intent,
    terminal::{Printer, clean, words::Line},
};

/// The command line's answer, else a person's at the terminal.
pub struct Doubt {
    /// What the command line says.
    pub answer: Option<InDoubt>,
    /// Where a person is asked.
    pub printer: Printer,
}

impl Decide for Doubt {
    fn decide(&self, intent: &Intent) -> Answer {
        let line = Line::of(&intent.asked.op);
        let question = clean::line(&format!(
            "`{}` {} on {} was begun at {} and not answered: done, redo, skip or abort?",
            line.verb, line.description, line.host, intent.at
        ));
        let answer = self.answer.or_else(|| InDoubt::from_str(self.printer.ask(&question)?.trim(), true).ok());
        match answer {
            Some(InDoubt::Done) => Answer::Done,
            Some(InDoubt::Redo) => Answer::Redo,
            Some(InDoubt::Skip) => Answer::Skip,
            Some(InDoubt::Abort) | None => Answer::Abort,
        }
    }

    fn who(&self) -> String {
        identity::new_run().operator
    }
}
