//! What becomes of a run that ctrl-C ended: the person at the terminal decides.

use super::{exit::Exit, resume, undo};
use crate::{
    cli,
    executor::{Cancellation, Urgency},
    model::RunId,
    terminal::{Printer, prompt},
};

/// A run's process at its end.
pub(super) struct Over {
    pub(super) exit: Exit,
    /// What to do with the run next.
    pub(super) then: Then,
}

/// What to do with a run.
pub(super) enum Then {
    Leave,
    GoOn(RunId),
    Undo(RunId),
}

impl From<Exit> for Over {
    fn from(exit: Exit) -> Self {
        Self { exit, then: Then::Leave }
    }
}

/// Asks what is to become of `run`; where nobody answers it stays as it is. `cancellation` ends the question.
pub(super) fn ask(run: &RunId, can_be_undone: bool, printer: &Printer, cancellation: &Cancellation) -> Then {
    let (question, answers): (_, &[&str]) = if can_be_undone {
        ("[g]o on, [u]ndo what it did, or [l]eave it as it is?", &["go on", "undo", "leave"])
    } else {
        ("[g]o on, or [l]eave it as it is?", &["go on", "leave"])
    };
    match prompt::choose(printer, question, answers, || cancellation.urgency() > Urgency::None) {
        Some("go on") => Then::GoOn(run.clone()),
        Some("undo") => Then::Undo(run.clone()),
        _ => Then::Leave,
    }
}

impl Over {
    /// Does what was decided.
    pub(super) fn decided(self, options: &cli::Run, printer: &Printer) -> Exit {
        match self.then {
            Then::Leave => self.exit,
            Then::GoOn(run) => resume::run(&options.resumed(run), printer),
            Then::Undo(run) => undo::run(&options.undone(run), printer),
        }
    }
}
