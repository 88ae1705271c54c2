//! What the script has done so far, for its own `undo`s: it is built up again when a run is resumed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    executor::{Call, Executor, Key, Outcome, Recorded},
    failure::Failure,
};

/// Notes every call of a script with what takes it back, and does as the executor within.
pub(super) struct Ledger {
    within: Arc<dyn Executor>,
    records: Mutex<Vec<Recorded>>,
}

impl Ledger {
    pub(super) fn over(within: Arc<dyn Executor>) -> Self {
        Self { within, records: Mutex::default() }
    }

    /// All records so far; outcomes are without their values, which the script has.
    pub(super) fn records(&self) -> Vec<Recorded> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Executor for Ledger {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        let result = self.within.perform(call);
        let noted = result.as_ref().map(|outcome| Outcome { inverse: outcome.inverse.clone(), ..Outcome::default() }).map_err(Clone::clone);
        let Call { key, op, origin, .. } = call.clone();
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(Recorded { key, op, origin, result: noted, seconds: 0.0 });
        result
    }

    fn forgo(&self, key: &Key) {
        self.within.forgo(key);
    }

    fn reach_again(&self) {
        self.within.reach_again();
    }
}
