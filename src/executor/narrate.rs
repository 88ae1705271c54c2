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
                    self.narrator.tell(Event::Began { call });
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

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::{
        failure::Origin,
        model::{RunId, RunInfo},
        op::Now,
    };

    /// Remembers every call, and answers each with this.
    struct Remembers(Result<Outcome, Failure>);

    impl Executor for Remembers {
        fn perform(&self, _: &Call) -> Result<Outcome, Failure> {
            self.0.clone()
        }

        fn remembers(&self, _: &Call) -> bool {
            true
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<&'static str>>);

    impl Narrator for Heard {
        fn tell(&self, event: Event<'_>) {
            let name = match event {
                Event::Began { .. } => "began",
                Event::Failed { .. } => "failed",
                Event::Replayed { .. } => "replayed",
                _ => "something else",
            };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        }
    }

    fn told(result: Result<Outcome, Failure>) -> Vec<&'static str> {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me".into(), started: "2026-01-01T00:00:00Z".into() };
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let heard = Arc::new(Heard::default());
        let answer =
            Narrate::new(Remembers(result.clone()), heard.clone()).perform(&Call::new(Now {}, Key::call("", 1), origin, Arc::new(run)));
        assert_eq!(answer, result);
        heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[test]
    fn a_call_that_is_not_what_was_noted_begins_before_it_fails() {
        assert_eq!(told(Err(Failure::new(FailureKind::Diverged, "it asks for something else"))), ["began", "failed"]);
        assert_eq!(told(Err(Failure::failed("no room"))), ["replayed"]);
        assert_eq!(told(Ok(Outcome::of(1))), ["replayed"]);
    }
}
