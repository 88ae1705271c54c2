//! Holds a run to its plan.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Fleet, PlanFile,
    differences::differences,
    progress::{Calls, Progress, without_operator},
    taken_back, words,
};
use crate::{
    executor::{Call, Executor, Outcome},
    failure::{Failure, FailureKind},
    journal::Recorded,
    model::{Key, RunInfo},
};

/// Lets a call through that the plan has, and stops the run at the first one that differs. Before the first, it looks whether the
/// fleet is still as the plan found it. What a run takes back is in no plan, and neither is what a person reads while it waits.
///
/// Once a planned call has failed, what the script does about that may come in between as far as it changes nothing that serves: it
/// tries again, tells somebody, leaves hosts out, or has what was done until then stay.
pub struct Follow<E> {
    inner: E,
    fleet: Fleet,
    calls: Calls,
    /// What the script takes back in the plan.
    undone: BTreeSet<Key>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fleet_was_checked: bool,
    progress: Progress,
    /// What was taken back.
    undone: BTreeSet<Key>,
    /// Why the run must not go on, once that is known.
    stopped: Option<Failure>,
}

impl<E: Executor> Follow<E> {
    /// Holds what is asked of `inner` to this plan.
    pub fn new(inner: E, plan: PlanFile) -> Self {
        let PlanFile { fleet, calls, by, undone, .. } = plan;
        let (fleet, calls, undone) = (Fleet::new(fleet), Calls::new(calls, by), undone.into_iter().collect());
        Self { inner, fleet, calls, undone, state: Mutex::default() }
    }

    /// The same, of a run whose earlier processes have left these records. The fleet is not as the plan found it any more.
    #[must_use]
    pub fn behind(self, records: &[Recorded], run: &RunInfo) -> Self {
        let progress = Progress::of(&self.calls, records, run);
        let undone = taken_back(records).cloned().collect();
        Self { state: Mutex::new(State { fleet_was_checked: true, progress, undone, stopped: None }), ..self }
    }

    /// The failure of a run that ended before it did all that was planned.
    pub fn unmade(&self) -> Option<Failure> {
        let state = self.lock();
        if let Some(failure) = self.undone_otherwise(&state, true) {
            return Some(failure);
        }
        let (first, made, all) = state.progress.unmade(&self.calls)?;
        let message = format!("the script ended before it did all that was planned: {made} of {all} calls");
        let failure = Failure::new(FailureKind::Unplanned, message).from(&first.origin).detail("the first that is missing", &first.words);
        Some(because(failure, &state.progress))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure of a run that has taken back what the plan keeps, or in the end keeps what the plan takes back, though no call has
    /// failed.
    fn undone_otherwise(&self, state: &State, is_end: bool) -> Option<Failure> {
        if state.progress.has_failed() {
            return None;
        }
        let (key, how) = match state.undone.difference(&self.undone).next() {
            Some(key) => (key, "has taken back what the plan keeps"),
            None => (self.undone.difference(&state.undone).next().filter(|_| is_end)?, "has not taken back what it takes back in the plan"),
        };
        let failure = Failure::new(FailureKind::Unplanned, format!("the script {how}"));
        let taken = self.calls.undone_by(key);
        let failure = taken.iter().fold(failure, |failure, call| failure.from(&call.origin).detail("the call", &call.words));
        Some(failure.hint("make a new plan with `podlift plan`, and look at it"))
    }

    /// What the call is answered with where the plan has the answer, if it may be made at all; once one may not, none may.
    fn allow(&self, call: &Call) -> Result<Option<Outcome>, Failure> {
        let mut state = self.lock();
        if let Some(failure) = &state.stopped {
            return Err(failure.clone());
        }
        if !state.fleet_was_checked {
            self.fleet.is_unchanged(&self.inner, call).inspect_err(|failure| state.stopped = Some(failure.clone()))?;
            state.fleet_was_checked = true;
        }
        if let Some(failure) = self.undone_otherwise(&state, false) {
            return Err(state.stopped.insert(failure).clone());
        }
        let found = state.progress.find(&self.calls, &call.key, &call.op, &call.run);
        let answer = found.map(|planned| planned.and_then(|planned| planned.answer.clone()).map(Outcome::of));
        answer.map_err(|planned| {
            let failure = Failure::new(FailureKind::Unplanned, format!("the run would leave its plan at call {}", call.key));
            let failure = match planned {
                Some(planned) => failure
                    .detail("planned", format!("{} ({})", planned.words, planned.origin))
                    .detail("asked for", words(&call.op))
                    .detail("what differs", {
                        let planned = without_operator(planned.op.clone(), &self.calls.by);
                        differences(&planned, &without_operator(call.op.canonical(), &call.run.operator))
                    }),
                None => failure.detail("planned", "no such call").detail("asked for", words(&call.op)),
            };
            let failure = because(failure.hint("make a new plan with `podlift plan`, and look at it"), &state.progress);
            state.stopped.insert(failure).clone()
        })
    }
}

/// The failure of a run that leaves its plan, with what failed before: that is why.
fn because(failure: Failure, progress: &Progress) -> Failure {
    let Some((key, cause)) = progress.failed() else { return failure };
    let message = format!("{}; {}, because call {key} has failed", cause.message, failure.message);
    let failure = Failure { message, host: failure.host.clone().or_else(|| cause.host.clone()), ..failure };
    cause.details.iter().fold(failure, |failure, detail| failure.detail(&detail.title, &detail.text))
}

impl<E: Executor> Executor for Follow<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if call.key.is_undo() {
            let outcome = self.inner.perform(call)?;
            self.lock().undone.insert(call.key.clone());
            return Ok(outcome);
        }
        if call.key.is_aside() {
            if !call.op.class().changes() {
                return self.inner.perform(call);
            }
            let failure = Failure::new(FailureKind::Unplanned, format!("`{}` is not in the plan", call.op.verb()));
            return Err(call.unsent(failure.hint("while a plan is followed, what is typed may only read")));
        }
        if let Some(planned) = self.allow(call).map_err(|failure| call.unsent(failure))? {
            return Ok(planned);
        }
        let result = self.inner.perform(call);
        let mut state = self.lock();
        match &result {
            Ok(_) => state.progress.succeeds(&call.key),
            Err(failure) => state.progress.fails(&call.key, failure),
        }
        drop(state);
        result
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn leave_out(&self, call: &Call) {
        if !call.key.is_undo() && !call.key.is_aside() {
            // A person who leaves a call out has decided that, also of one that is not in the plan.
            let _ = self.lock().progress.find(&self.calls, &call.key, &call.op, &call.run);
        }
        self.inner.leave_out(call);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}
