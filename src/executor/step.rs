//! Asks before it does.

use super::{Call, Executor, Outcome};
use crate::{
    failure::{Failure, FailureKind},
    op::Op,
};

/// Someone who is asked before each call, and what to do after one that failed.
pub trait Steps: Send + Sync {
    /// A call is about to be made.
    fn before(&self, call: &Call) -> Answer;

    /// It was done.
    fn done(&self, call: &Call, outcome: &Outcome);

    /// It failed. Before it is done again, what it had done has to be taken back.
    fn failed(&self, call: &Call, failure: &Failure) -> Answer;
}

impl<S: Steps + ?Sized> Steps for std::sync::Arc<S> {
    fn before(&self, call: &Call) -> Answer {
        self.as_ref().before(call)
    }

    fn done(&self, call: &Call, outcome: &Outcome) {
        self.as_ref().done(call, outcome);
    }

    fn failed(&self, call: &Call, failure: &Failure) -> Answer {
        self.as_ref().failed(call, failure)
    }
}

/// What is to be done with a call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is done, once more where it has failed.
    Do,
    /// Another op of its kind is done in its place.
    Instead(Box<Op>),
    /// It is not done: this is what came back of it.
    Skip(Box<Outcome>),
    /// It fails.
    Fail(Box<Failure>),
}

/// Asks `steps` before each call of the script, then does as the executor within. What is typed while it waits, and what is undone,
/// is not asked about.
pub struct Step<E, S> {
    inner: E,
    steps: S,
}

impl<E: Executor, S: Steps> Step<E, S> {
    /// Asks `steps` what `inner` is to do.
    pub const fn new(inner: E, steps: S) -> Self {
        Self { inner, steps }
    }
}

impl<E: Executor, S: Steps> Executor for Step<E, S> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if call.key.is_undo() {
            return self.inner.perform(call);
        }
        if call.key.is_aside() {
            return self.inner.perform(call).inspect(|outcome| self.steps.done(call, outcome));
        }
        let mut answer = self.steps.before(call);
        loop {
            let result = match answer {
                Answer::Do => self.inner.perform(call),
                Answer::Instead(op) => self.inner.perform(&Call { op: (*op).into(), ..call.clone() }),
                Answer::Skip(outcome) => {
                    self.inner.leave_out(call);
                    return Ok(*outcome);
                }
                Answer::Fail(failure) => return Err(*failure),
            };
            let failure = match result {
                Ok(outcome) => {
                    self.steps.done(call, &outcome);
                    return Ok(outcome);
                }
                Err(failure) if failure.kind == FailureKind::Interrupted => return Err(failure),
                Err(failure) => failure,
            };
            answer = self.steps.failed(call, &failure);
        }
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;
    use crate::{
        executor::Key,
        failure::Origin,
        model::{Period, RunId, RunInfo},
        op::Pause,
    };

    /// Fails pauses of one second, leaves an inverse behind, and remembers what it was asked for.
    #[derive(Default)]
    struct Picky(Mutex<Vec<String>>);

    impl Executor for Picky {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} {}", call.key, call.op.describe()));
            match &*call.op {
                Op::Pause(pause) if pause.period == Period::seconds(1) => Err(Failure::failed("too short")),
                _ => Ok(Outcome::of(())),
            }
        }
    }

    struct Scripted(Mutex<Vec<Answer>>);

    impl Scripted {
        fn next(&self) -> Answer {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(0)
        }
    }

    impl Steps for Scripted {
        fn before(&self, _: &Call) -> Answer {
            self.next()
        }
        fn done(&self, _: &Call, _: &Outcome) {}
        fn failed(&self, _: &Call, _: &Failure) -> Answer {
            self.next()
        }
    }

    fn perform(answers: Vec<Answer>, key: Key) -> (Result<Outcome, Failure>, Vec<String>) {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let step = Step::new(Picky::default(), Scripted(Mutex::new(answers)));
        let result = step.perform(&Call::new(Pause { period: Period::seconds(1) }, key, origin, Arc::new(run)));
        (result, step.inner.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    #[test]
    fn a_failed_call_is_done_with_other_arguments() {
        let other = Answer::Instead(Box::new(Pause { period: Period::seconds(2) }.into()));
        let (result, asked) = perform(vec![Answer::Do, other], Key::call("", 4));
        assert!(result.is_ok());
        assert_eq!(asked, ["4 1s", "4 2s"]);
    }

    #[test]
    fn what_is_skipped_is_not_done() {
        let (result, asked) = perform(vec![Answer::Skip(Box::new(Outcome::of(7)))], Key::call("", 4));
        assert_eq!((result, asked), (Ok(Outcome::of(7)), Vec::new()));
        let failure = Failure::failed("no");
        let (result, asked) = perform(vec![Answer::Do, Answer::Fail(Box::new(failure.clone()))], Key::call("", 4));
        assert_eq!((result, asked.len()), (Err(failure), 1));
    }

    #[test]
    fn what_is_typed_meanwhile_is_not_asked_about() {
        assert!(perform(Vec::new(), Key::aside(1)).0.is_err());
        assert_eq!(perform(Vec::new(), Key::aside(1)).1, ["aside/1 1s"]);
    }
}
