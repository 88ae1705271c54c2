//! Takes back what a run did: folds its records backwards.

use std::{collections::BTreeSet, sync::Arc};

use super::{Call, Cancellation, Executor, Recorded, Urgency};
use crate::{
    failure::{Failure, FailureKind},
    model::RunInfo,
};

/// An inverse that could not be done.
#[derive(Clone, Debug)]
pub struct Left {
    /// The record that it would have taken back.
    pub record: Recorded,
    /// Why it was not.
    pub failure: Failure,
}

/// Undoes these records, the last first, under keys `undo/KEY.n`. An inverse that fails is left, with the rest of its own
/// record's; the other records' go on. What was undone within the run already stays undone, and what could not be undone then is
/// tried again; so is the part of its work that a call had done when it failed.
/// A cancellation ends it: what is not undone by then is left.
pub fn undo(executor: &dyn Executor, records: &[Recorded], run: &Arc<RunInfo>, cancellation: &Cancellation) -> Vec<Left> {
    let mut left = Vec::new();
    let undone: BTreeSet<&str> = records.iter().filter(|record| record.result.is_ok()).map(|record| record.key.as_str()).collect();
    for record in records.iter().rev().filter(|record| !record.key.is_undo()) {
        for (index, op) in record.inverse().iter().enumerate() {
            let key = record.key.undo(index);
            if undone.contains(key.as_str()) {
                continue;
            }
            if cancellation.urgency() > Urgency::None {
                let failure = Failure::new(FailureKind::Interrupted, format!("the undo of call {} was interrupted", record.key));
                left.push(Left { record: record.clone(), failure });
                return left;
            }
            let call = Call { cancellation: cancellation.clone(), ..Call::new(op.clone(), key, record.origin.clone(), run.clone()) };
            if let Err(failure) = executor.perform(&call) {
                left.push(Left { record: record.clone(), failure });
                break;
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::{
        executor::{Key, Outcome},
        failure::Origin,
        model::{Period, RunId},
        op::{Now, Op, Pause},
    };

    /// Does everything, and remembers under which keys.
    #[derive(Default)]
    struct Done(Mutex<Vec<String>>);

    impl Executor for Done {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.key.to_string());
            Ok(Outcome::of(()))
        }
    }

    fn inverse() -> [Op; 2] {
        [Pause { period: Period::seconds(1) }.into(), Pause { period: Period::seconds(2) }.into()]
    }

    fn record(key: Key, result: Result<Outcome, Failure>) -> Recorded {
        Recorded { key, op: Now {}.into(), origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, result, seconds: 0.0 }
    }

    fn undone(records: &[Recorded]) -> Vec<String> {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let done = Done::default();
        assert!(undo(&done, records, &Arc::new(run), &Cancellation::default()).is_empty());
        done.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn an_undo_that_failed_within_the_run_is_tried_again_from_where_it_failed() {
        let key = Key::call("", 4).part(1);
        let records = [
            record(key.clone(), Ok(Outcome::of(()).undone_by(inverse()))),
            record(key.undo(0), Ok(Outcome::of(()))),
            record(key.undo(1), Err(Failure::failed("the host was away"))),
        ];
        assert_eq!(undone(&records), ["undo/4[1].1"]);
    }

    #[test]
    fn what_a_failed_call_had_done_is_undone() {
        let records = [
            record(Key::call("", 1), Ok(Outcome::of(()).undone_by(inverse()))),
            record(Key::call("", 2), Err(Failure::failed("half of it").undone_by(inverse()))),
            record(Key::call("", 3), Err(Failure::failed("nothing of it"))),
        ];
        assert_eq!(undone(&records), ["undo/2.0", "undo/2.1", "undo/1.0", "undo/1.1"]);
    }
}
