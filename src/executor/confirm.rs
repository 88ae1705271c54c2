//! Questions to a person.

use std::sync::Arc;

use super::{Call, Executor, Outcome};
use crate::{
    failure::{Failure, FailureKind},
    model::HostName,
    op::{Confirm, Op},
};

/// Somebody who may answer.
pub trait Ask: Send + Sync {
    /// The answer, or `None` where nobody gives one.
    fn ask(&self, question: &Confirm, call: &Call) -> Option<bool>;
}

/// Asks somebody before the executor within would say that nobody can be asked.
pub struct Confirming<E> {
    inner: E,
    somebody: Arc<dyn Ask>,
}

impl<E: Executor> Confirming<E> {
    /// Lets `somebody` answer what `inner` cannot.
    pub const fn new(inner: E, somebody: Arc<dyn Ask>) -> Self {
        Self { inner, somebody }
    }
}

impl<E: Executor> Executor for Confirming<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if let Op::Confirm(question) = &*call.op
            && let Some(answer) = self.somebody.ask(question, call)
        {
            return Ok(Outcome::of(answer));
        }
        self.inner.perform(call)
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }

    fn give_up(&self, host: &HostName) {
        self.inner.give_up(host);
    }
}

/// What happens to a question that nobody answers: its `otherwise`, else the run waits for whoever resumes it.
pub fn unanswered(question: &Confirm) -> Result<Outcome, Failure> {
    if let Some(answer) = question.otherwise {
        return Ok(Outcome::of(answer));
    }
    let which = question.name.as_ref().map_or_else(String::new, |name| format!("={name}"));
    Err(Failure::new(FailureKind::Interrupted, format!("nobody is there to answer: {}", question.question))
        .hint(format!("`--yes{which}` answers it; the script can say what holds without an answer: `otherwise: false`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_suspends_the_run_unless_the_script_says_what_holds() {
        let question = |otherwise| Confirm { question: "go on?".into(), name: Some("switch".into()), otherwise };
        assert_eq!(unanswered(&question(Some(false))).expect("the script says so").value.json(), false);
        let failure = unanswered(&question(None)).expect_err("nobody is there");
        assert_eq!(failure.kind, FailureKind::Interrupted);
        assert!(failure.message.contains("go on?") && failure.hints[0].contains("--yes=switch"), "{failure:?}");
    }
}
