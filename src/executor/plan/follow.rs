//! Holds a run to its plan.

use std::{
    collections::{HashMap, HashSet},
    panic,
    sync::{Mutex, PoisonError},
    thread,
};

use serde_json::Value;

use super::{Fingerprint, PlanFile, PlannedCall, Surveyed, differences::differences, words};
use crate::{
    executor::{Call, Executor, Key, Outcome},
    failure::{Failure, FailureKind},
    model::HostState,
    op::Survey,
};

/// Lets a call through that the plan has, and stops the run at the first one that differs. Before the first, it looks whether the
/// fleet is still as the plan found it. What a run takes back is in no plan.
pub struct Follow<E> {
    inner: E,
    fleet: Vec<Surveyed>,
    /// In the script's order.
    calls: Vec<PlannedCall>,
    places: HashMap<Key, usize>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    fleet_was_checked: bool,
    made: HashSet<Key>,
    /// Why the run must not go on, once that is known.
    stopped: Option<Failure>,
}

impl<E: Executor> Follow<E> {
    /// Holds what is asked of `inner` to this plan.
    pub fn new(inner: E, plan: PlanFile) -> Self {
        let places = plan.calls.iter().enumerate().map(|(place, call)| (call.key.clone(), place)).collect();
        Self { inner, fleet: plan.fleet, calls: plan.calls, places, progress: Mutex::default() }
    }

    /// The failure of a run that ended before it did all that was planned.
    pub fn unmade(&self) -> Option<Failure> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.calls.iter().find(|call| !progress.made.contains(&call.key))?;
        let message = format!("the script ended before it did all that was planned: {} of {} calls", progress.made.len(), self.calls.len());
        Some(Failure::new(FailureKind::Unplanned, message).from(&first.origin).detail("the first that is missing", &first.words))
    }

    /// Whether the call may be made; once one may not, none may.
    fn allow(&self, call: &Call) -> Result<(), Failure> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = &progress.stopped {
            return Err(failure.clone());
        }
        if !progress.fleet_was_checked {
            self.fleet_is_unchanged(call).inspect_err(|failure| progress.stopped = Some(failure.clone()))?;
            progress.fleet_was_checked = true;
        }
        self.is_planned(call).inspect_err(|failure| progress.stopped = Some(failure.clone()))?;
        if self.places.contains_key(&call.key) {
            progress.made.insert(call.key.clone());
        }
        Ok(())
    }

    fn is_planned(&self, call: &Call) -> Result<(), Failure> {
        let asked = call.op.canonical();
        let planned = self.places.get(&call.key).map(|place| &self.calls[*place]);
        if planned.is_some_and(|planned| planned.op == asked) || self.goes_on(call, &asked) {
            return Ok(());
        }
        let message = format!("the run would leave its plan at call {}", call.key);
        let failure = Failure::new(FailureKind::Unplanned, message);
        let failure = match planned {
            Some(planned) => failure
                .detail("planned", format!("{} ({})", planned.words, planned.origin))
                .detail("asked for", words(&call.op))
                .detail("what differs", differences(&planned.op, &asked)),
            None => failure.detail("planned", "no such call").detail("asked for", words(&call.op)),
        };
        Err(failure.hint("make a new plan with `podlift plan`, and look at it"))
    }

    /// Whether a planned backfill goes on with it: how often it asks its throttle, waits and does a part no plan knows.
    fn goes_on(&self, call: &Call, asked: &Value) -> bool {
        let Some(series) = call.key.block().strip_suffix("[0].") else { return false };
        let planned = self.calls.iter().find(|planned| planned.key.is_in(call.key.block()) && planned.op["series"] == series);
        planned.is_some_and(|planned| !call.op.class().changes() || planned.op == *asked)
    }

    /// Reads all hosts of the plan, side by side.
    fn fleet_is_unchanged(&self, call: &Call) -> Result<(), Failure> {
        let changes: Vec<Result<Option<String>, Failure>> = thread::scope(|scope| {
            let reads: Vec<_> = self.fleet.iter().map(|surveyed| scope.spawn(move || self.change(call, surveyed))).collect();
            reads.into_iter().map(|read| read.join().unwrap_or_else(|payload| panic::resume_unwind(payload))).collect()
        });
        let changes: Vec<String> = changes.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        if changes.is_empty() {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Unplanned, "the fleet has changed since the plan was made")
            .detail("what is not as it was", changes.join("\n"))
            .hint("make a new plan with `podlift plan`, and look at it"))
    }

    /// What is not as the plan found it on a host.
    fn change(&self, call: &Call, planned: &Surveyed) -> Result<Option<String>, Failure> {
        let Surveyed { host, project, state: before } = planned;
        let answer = self.inner.perform(&call.with(Survey { host: host.clone(), project: project.clone() }));
        let state: HostState = match (answer, before) {
            (Ok(outcome), _) => outcome
                .value
                .read()
                .map_err(|error| Failure::failed(format!("{}'s state could not be read: {error}", host.name)).on(&host.name))?,
            (Err(failure), None) if failure.kind == FailureKind::Unreachable => return Ok(None),
            (Err(failure), _) => return Err(failure.on(&host.name)),
        };
        let Some(before) = before else { return Ok(Some(format!("{}: it did not answer, and does now", host.name))) };
        let now = Fingerprint::of(&state, project);
        let parts = before.differences(&now);
        Ok((!parts.is_empty()).then(|| format!("{}: {}", host.name, parts.join(", "))))
    }
}

impl<E: Executor> Executor for Follow<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if !call.key.is_undo() {
            self.allow(call)?;
        }
        self.inner.perform(call)
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}
