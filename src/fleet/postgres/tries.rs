//! How often something is tried again, and the waits between.

use std::time::Duration;

use crate::fleet::random;

/// How often a lost connection is opened again: for about half a minute, in which a server comes up again.
pub const RECONNECTS: u32 = 8;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A wait that grows with each try, by a random part: two runs that meet do not meet again.
pub fn pause(tried: u32) -> Duration {
    let grown = grown(tried);
    let part = random::number() % 1000;
    grown / 2 + grown.mul_f64(f64::from(u32::try_from(part).unwrap_or_default()) / 2000.0)
}

fn grown(tried: u32) -> Duration {
    Duration::from_millis(250).saturating_mul(1 << tried.min(6)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        for tried in 0..40 {
            let wait = pause(tried);
            assert!(wait >= grown(tried) / 2 && wait <= grown(tried), "{tried}: {wait:?}");
        }
        assert!((0..20).map(|_| pause(6)).collect::<BTreeSet<_>>().len() > 1);
    }
}
