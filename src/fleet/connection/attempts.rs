//! How the attempts to open a session went, and so how much is spent on the next one.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{failure::Failure, fleet::ssh::Effort};

/// How long a host that was given up is not tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The attempts on one host.
#[derive(Default)]
pub(super) struct Attempts(Mutex<Past>);

#[derive(Default)]
struct Past {
    failed: usize,
    /// What the last one said and when, unless it succeeded.
    last: Option<(Failure, Instant)>,
    is_given_up: bool,
    /// Whether a host that was given up is tried whenever that was.
    is_wanted: bool,
}

impl Attempts {
    /// How many have failed.
    pub(super) fn failed(&self) -> usize {
        self.past().failed
    }

    /// What may be spent on another one, for somebody who knows of `known` that failed.
    ///
    /// # Errors
    /// What the last one said, where another one would be of no use: whoever waited for an attempt has its answer, and a host that
    /// was given up is tried only now and then.
    pub(super) fn next(&self, known: usize, now: Instant) -> Result<Effort, Failure> {
        let past = self.past();
        match &past.last {
            Some((failure, _)) if past.failed > known => Err(failure.clone()),
            Some((failure, at)) if past.is_given_up && !past.is_wanted && now.duration_since(*at) < AGAIN => Err(failure.clone()),
            Some(_) if past.is_given_up => Ok(Effort::Brief),
            _ => Ok(Effort::Full),
        }
    }

    /// Takes note of one that failed.
    pub(super) fn note(&self, failure: &Failure, now: Instant) {
        let mut past = self.past();
        past.failed += 1;
        past.is_wanted = false;
        past.last = Some((failure.clone(), now));
    }

    /// Takes note of one that succeeded.
    pub(super) fn succeeded(&self) {
        let mut past = self.past();
        past.last = None;
        past.is_given_up = false;
        past.is_wanted = false;
    }

    /// Takes note that another attempt is worth while, whenever the last one was.
    pub(super) fn reach_again(&self) {
        let mut past = self.past();
        past.is_wanted = past.is_given_up;
    }

    /// Takes note that nobody waits for the host any longer. A host that could be reached when it was tried last is not meant:
    /// something else there was not.
    pub(super) fn give_up(&self) {
        let mut past = self.past();
        past.is_given_up = past.last.is_some();
    }

    /// Whether nobody waits for the host any longer.
    pub(super) fn is_given_up(&self) -> bool {
        self.past().is_given_up
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    #[test]
    fn a_host_that_was_given_up_is_tried_briefly_and_only_now_and_then() {
        let (attempts, begin) = (Attempts::default(), Instant::now());
        let silent = Failure::new(FailureKind::Unreachable, "h1 did not answer SSH");
        let next = |known, seconds| attempts.next(known, begin + Duration::from_secs(seconds)).map_err(|failure| failure.message);
        assert_eq!(next(0, 0), Ok(Effort::Full));
        attempts.note(&silent, begin);
        assert_eq!(next(0, 0), Err(silent.message.clone()), "who waited for it has its answer");
        assert_eq!(next(1, 0), Ok(Effort::Full), "it is not given up yet");

        attempts.give_up();
        assert_eq!(next(1, 9), Err(silent.message.clone()));
        assert_eq!(next(1, 10), Ok(Effort::Brief));
        attempts.note(&silent, begin + Duration::from_secs(15));
        assert_eq!(next(2, 24), Err(silent.message.clone()));
        assert_eq!(next(2, 25), Ok(Effort::Brief));

        attempts.reach_again();
        assert_eq!(next(2, 16), Ok(Effort::Brief), "an undo begins");
        assert_eq!(next(1, 16), Err(silent.message.clone()), "who waited for it has its answer all the same");
        attempts.note(&silent, begin + Duration::from_secs(20));
        assert_eq!(next(3, 21), Err(silent.message.clone()), "once");

        attempts.succeeded();
        assert_eq!(next(3, 26), Ok(Effort::Full), "it came back");
        attempts.give_up();
        attempts.reach_again();
        assert_eq!(next(3, 26), Ok(Effort::Full), "something else than the host did not answer");
    }
}
