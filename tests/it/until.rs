//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// Polls until `condition` holds. Panics with `what` if it doesn't within a minute.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
