//! Takes back what a run did: folds its records backwards.

use std::sync::Arc;

use super::{Call, Executor, Key, Recorded};
use crate::{failure::Failure, model::RunInfo};

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
pub fn undo(executor: &dyn Executor, records: &[Recorded], run: &Arc<RunInfo>) -> Vec<Left> {
    let mut left = Vec::new();
    let undone = |key: &Key| records.iter().any(|record| record.key.undoes(key));
    for record in records.iter().rev().filter(|record| !undone(&record.key)) {
        let Ok(outcome) = &record.result else { continue };
        if record.key.is_undo() {
            continue;
        }
        for (index, op) in outcome.inverse.iter().enumerate() {
            let call = Call::new(op.clone(), record.key.undo(index), record.origin.clone(), run.clone());
            if let Err(failure) = executor.perform(&call) {
                left.push(Left { record: record.clone(), failure });
                break;
            }
        }
    }
    left
}
