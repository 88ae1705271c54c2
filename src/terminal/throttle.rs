//! Keeps what repeats from flooding a log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::executor::Key;

/// Lets each call through once in a while.
pub struct Throttle {
    every: Duration,
    last: Mutex<HashMap<Key, Instant>>,
}

impl Throttle {
    /// Each call at most once in this time, the first time when it has lasted that long.
    pub fn every(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    /// Notes that a call begins.
    pub fn begin(&self, key: &Key) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), Instant::now());
    }

    /// Whether a call may be told of now.
    pub fn lets(&self, key: &Key) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let then = last.entry(key.clone()).or_insert(now);
        let due = now.duration_since(*then) >= self.every;
        if due {
            *then = now;
        }
        due
    }

    /// Forgets a call that has ended.
    pub fn end(&self, key: &Key) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
