//! Tells what happens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Call, Event, Executor, Key, Narrator, Outcome, Progress};
use crate::failure::{Failure, FailureKind};

/// Tells a narrator of every call, then does as the executor within.
pub struct Narrate<E> {
    inner: E,
    narrator: Arc<dyn Narrator>,
}

impl<E: Executor> Narrate<E> {
    /// Tells `narrator` what `inner` does.
    pub const fn new(inner: E, narrator: Arc<dyn Narrator>) -> Self {
        Self { inner, narrator }
    }
}

impl<E: Executor> Executor for Narrate<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if self.inner.remembers(call) {
            let result = self.inner.perform(call);
            match &result {
                // It is not what was noted that fails, but the call.
                Err(failure) if failure.kind == FailureKind::Diverged => {
                    self.narrator.tell(Event::Failed { call, failure, took: Duration::ZERO });
                }
                result => self.narrator.tell(Event::Replayed { call, result }),
            }
            return result;
        }
        self.narrator.tell(Event::Began { call });
        let begin = Instant::now();
        let told = Told { call: call.clone(), narrator: self.narrator.clone() };
        let call = Call { progress: Arc::new(told), ..call.clone() };
        let result = self.inner.perform(&call);
        let took = begin.elapsed();
        match &result {
            Ok(outcome) => self.narrator.tell(Event::Done { call: &call, outcome, took }),
            Err(failure) => self.narrator.tell(Event::Failed { call: &call, failure, took }),
        }
        result
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }

    fn forgo(&self, key: &Key) {
        self.inner.forgo(key);
    }
}

/// Passes a call's progress on to the narrator.
struct Told {
    call: Call,
    narrator: Arc<dyn Narrator>,
}

impl Progress for Told {
    fn doing(&self, what: &str) {
        self.narrator.tell(Event::Progressed { call: &self.call, what, bytes: None });
    }

    fn bytes(&self, what: &str, done: u64, of: u64) {
        self.narrator.tell(Event::Progressed { call: &self.call, what, bytes: Some((done, of)) });
    }

    fn sent(&self, host: &str, what: &str) {
        self.narrator.tell(Event::Sent { host, what });
    }
}
