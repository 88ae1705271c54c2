//! Numbers at random.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that most likely nobody else has: hashers are keyed at random.
pub fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}
