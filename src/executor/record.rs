//! Keeps what came back of every call.

use std::{
    cmp::Ordering,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::Serialize;

use super::{Call, Executor, Key, Outcome};
use crate::{
    failure::{Failure, Origin},
    op::Op,
};

/// One call and what came back of it.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Which call.
    pub key: Key,
    /// What was asked for.
    pub op: Op,
    /// The place in the script.
    pub origin: Origin,
    /// What came back.
    pub result: Result<Outcome, Failure>,
    /// How long it took.
    pub seconds: f64,
}

impl Recorded {
    /// The ops that take back what the call did, where it failed the part of its work that it had done.
    pub fn inverse(&self) -> &[Op] {
        match &self.result {
            Ok(outcome) => &outcome.inverse,
            Err(failure) => &failure.inverse,
        }
    }
}

/// Records every call in memory, then does as the executor within.
pub struct Record<E> {
    inner: E,
    records: Mutex<Vec<Recorded>>,
}

impl<E: Executor> Record<E> {
    /// Records what `inner` answers.
    pub const fn new(inner: E) -> Self {
        Self { inner, records: Mutex::new(Vec::new()) }
    }

    /// All records so far, in the order in which the calls ended.
    pub fn records(&self) -> Vec<Recorded> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The executor within: for reads that are no part of the script.
    pub const fn inner(&self) -> &E {
        &self.inner
    }
}

impl<E: Executor> Executor for Record<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let result = self.inner.perform(call).map_err(|failure| failure.from(&call.origin));
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(Recorded {
            key: call.key.clone(),
            op: call.op.clone(),
            origin: call.origin.clone(),
            result: result.clone(),
            seconds: begin.elapsed().as_secs_f64(),
        });
        result
    }
}

/// Sorts records as the script made the calls, whichever branch was faster.
pub fn in_script_order(records: &mut [Recorded]) {
    records.sort_by(|left, right| compare(left.key.as_str(), right.key.as_str()));
}

/// Compares keys as sequences of numbers: `4[2]` comes before `4[10]`, and `4[1]` before `4[1].1`.
fn compare(left: &str, right: &str) -> Ordering {
    let numbers = |key: &str| -> Vec<u64> {
        key.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let undo = |key: &str| key.starts_with("undo/");
    undo(left).cmp(&undo(right)).then_with(|| numbers(left).cmp(&numbers(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_their_numbers() {
        let mut keys = vec!["undo/1.0", "10", "4[10]", "4[2].1", "4[2]", "2"];
        keys.sort_by(|left, right| compare(left, right));
        assert_eq!(keys, ["2", "4[2]", "4[2].1", "4[10]", "10", "undo/1.0"]);
    }
}
