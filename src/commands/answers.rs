//! Who answers a script's questions.

use crate::{
    executor::{Call, Urgency, confirm::Ask},
    op::Confirm,
    terminal::{Printer, prompt},
};

/// The command line, else the person at the terminal.
pub struct Answers {
    yes: Vec<String>,
    printer: Printer,
}

impl Answers {
    /// `yes` are the names that were given with `--yes`; an empty one answers every question.
    pub const fn new(yes: Vec<String>, printer: Printer) -> Self {
        Self { yes, printer }
    }
}

impl Ask for Answers {
    fn ask(&self, question: &Confirm, call: &Call) -> Option<bool> {
        if self.yes.iter().any(|yes| yes.is_empty() || question.name.as_ref() == Some(yes)) {
            return Some(true);
        }
        prompt::ask(&self.printer, &question.question, || call.cancellation.urgency() > Urgency::None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        failure::Origin,
        model::{Key, RunId, RunInfo},
        terminal::style::Surroundings,
    };

    #[test]
    fn yes_answers_all_questions_or_one() {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let question = |name: Option<&str>| Confirm { question: "go on?".into(), name: name.map(Into::into), otherwise: None };
        let answer = |yes: &[&str], name: Option<&str>| {
            let printer = Printer::new(Surroundings::default(), Box::new(std::io::sink()), Box::new(std::io::sink()));
            let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
            let call = Call::new(question(name), Key::call("", 1), origin, Arc::new(run.clone()));
            Answers::new(yes.iter().map(ToString::to_string).collect(), printer).ask(&question(name), &call)
        };
        assert_eq!(answer(&[""], None), Some(true));
        assert_eq!(answer(&["switch"], Some("switch")), Some(true));
        assert_eq!(answer(&["switch"], Some("other")), None, "nobody is at a terminal");
        assert_eq!(answer(&[], Some("switch")), None);
    }
}
