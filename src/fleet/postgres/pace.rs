//! How large the batches of a backfill are, and how long it rests between them.
//!
//! What governs both is how long the server is at work, for that is what a writer may have to wait: for a row of the batch, for its
//! turn on a processor, for the log. The way to the server and back does not count.

use std::time::Duration;

use tokio::time::Instant;

/// The smallest and the largest batch. A smaller one would be more work on the batch than on its rows; fifty rows with two indexes and
/// a trigger are two milliseconds of it, which a hundredth of the writers notice.
const BATCHES: (f64, f64) = (10.0, 100_000.0);
/// How many times as long as its last batch took it rests.
const REST: u32 = 10;
/// The longest rest: what took longer has waited for a lock.
const LONGEST: Duration = Duration::from_secs(5);

/// What a backfill has learnt, which a lost connection does not take away.
pub struct Pace {
    /// When it began.
    pub began: Instant,
    /// How many rows the next batch has.
    pub size: f64,
    /// How many batches were made.
    pub batches: u64,
    /// How many rows they had.
    pub seen: f64,
    /// Whether the database was reached.
    pub was_reached: bool,
    /// Whether batches were found there that this call, or an earlier process, has done.
    pub goes_on: bool,
    /// How often it was lost since the last batch.
    pub lost: u32,
}

impl Pace {
    /// That of a first batch.
    pub fn new(batch: u32) -> Self {
        Self { began: Instant::now(), size: f64::from(batch), batches: 0, seen: 0.0, was_reached: false, goes_on: false, lost: 0 }
    }

    /// Learns from a batch.
    pub fn made(&mut self, seen: f64, taken: Taken, target: Duration) {
        (self.batches, self.lost) = (self.batches + 1, 0);
        self.seen += seen;
        self.size = next_size(self.size, taken.work, target);
    }

    /// For a batch that met a lock.
    pub fn halve(&mut self) {
        self.size = (self.size / 2.0).max(BATCHES.0);
    }

    /// How many rows the next batch has.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the limits of a batch")]
    pub const fn rows(&self) -> u32 {
        self.size as u32
    }
}

/// What a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// The server's work on the rows.
    pub work: Duration,
    /// The way to the server and back.
    pub way: Duration,
    /// The commit, with its way.
    pub commit: Duration,
}

impl Taken {
    /// How long to rest behind it.
    pub fn rest(self) -> Duration {
        ((self.work + self.commit.saturating_sub(self.way)) * REST).min(LONGEST)
    }
}

/// The size of the next batch: such that it takes its time, at most twice or half the last one.
fn next_size(size: f64, work: Duration, target: Duration) -> f64 {
    let factor = target.as_secs_f64() / work.as_secs_f64().max(0.0001);
    (size * factor.clamp(0.5, 2.0)).clamp(BATCHES.0, BATCHES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "powers of two are exact")]
    fn batches_grow_and_shrink_to_their_time() {
        let target = Duration::from_millis(200);
        assert_eq!(next_size(1000.0, Duration::from_millis(100), target), 2000.0);
        assert_eq!(next_size(1000.0, Duration::from_millis(10), target), 2000.0);
        assert_eq!(next_size(1000.0, Duration::from_secs(10), target), 500.0);
        assert_eq!(next_size(12.0, Duration::from_secs(10), target), 10.0);
        assert_eq!(next_size(100_000.0, Duration::from_millis(1), target), 100_000.0);
    }

    #[test]
    fn a_far_server_is_given_no_longer_rest_than_a_near_one() {
        let near = Taken { work: Duration::from_millis(2), way: Duration::from_millis(1), commit: Duration::from_millis(4) };
        let far = Taken { way: near.way + Duration::from_millis(80), commit: near.commit + Duration::from_millis(80), ..near };
        assert_eq!((near.rest(), far.rest()), (Duration::from_millis(5) * REST, Duration::from_millis(5) * REST));
    }
}
