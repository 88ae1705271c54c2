//! Host ports for containers: from one range, recorded in a label, kept across restarts.

use std::collections::BTreeSet;

/// The ports that podlift picks from.
const RANGE: std::ops::RangeInclusive<u16> = 20000..=29999;

/// The lowest port that is not taken, and takes it.
pub fn pick(taken: &mut BTreeSet<u16>) -> Option<u16> {
    let port = RANGE.into_iter().find(|port| !taken.contains(port))?;
    taken.insert(port);
    Some(port)
}

/// Whether what is published on one of two addresses keeps the same port from the other.
pub fn share_a_port(one: &str, other: &str) -> bool {
    let is_any = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    let is_of_six = |address: &str| address.contains(':') && !is_any(address);
    let is_of_four = |address: &str| address.contains('.');
    let apart = is_of_six(one) && is_of_four(other) || is_of_four(one) && is_of_six(other);
    one == other || !apart && (is_any(one) || is_any(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_port_is_picked() {
        let mut taken = BTreeSet::from([20000, 20002]);
        assert_eq!([pick(&mut taken), pick(&mut taken)], [Some(20001), Some(20003)]);
        assert_eq!(pick(&mut RANGE.collect()), None);
    }

    #[test]
    fn what_listens_everywhere_leaves_a_port_to_nobody() {
        assert!(share_a_port("127.0.0.1", "127.0.0.1") && share_a_port("0.0.0.0", "10.0.0.1") && share_a_port("10.0.0.1", "::"));
        assert!(!share_a_port("127.0.0.1", "10.0.0.1"));
        assert!(share_a_port("::", "127.0.0.1") && share_a_port("::1", "") && share_a_port("::1", "::"));
        assert!(!share_a_port("::1", "0.0.0.0") && !share_a_port("127.0.0.1", "fe80::1"));
    }
}
