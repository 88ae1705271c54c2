//! Takes back what a run did: folds its records backwards.

use std::sync::Arc;

use super::{Call, Cancellation, Executor, Key, Recorded, Urgency};
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
/// record's; the other records' go on. What was undone within the run already stays undone.
/// A cancellation ends it: what is not undone by then is left.
pub fn undo(executor: &dyn Executor, records: &[Recorded], run: &Arc<RunInfo>, cancellation: &Cancellation) -> Vec<Left> {
    let mut left = Vec::new();
    let undone = |key: &Key| records.iter().any(|record| record.key.undoes(key));
    for record in records.iter().rev().filter(|record| !undone(&record.key)) {
        let Ok(outcome) = &record.result else { continue };
        if record.key.is_undo() {
            continue;
        }
        for (index, op) in outcome.inverse.iter().enumerate() {
            if cancellation.urgency() > Urgency::None {
                let failure = Failure::new(FailureKind::Interrupted, format!("the undo of call {} was interrupted", record.key));
                left.push(Left { record: record.clone(), failure });
                return left;
            }
            let call = Call::new(op.clone(), record.key.undo(index), record.origin.clone(), run.clone());
            let call = Call { cancellation: cancellation.clone(), ..call };
            if let Err(failure) = executor.perform(&call) {
                left.push(Left { record: record.clone(), failure });
                break;
            }
        }
    }
    left
}
