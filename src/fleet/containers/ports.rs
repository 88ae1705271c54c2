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

/// Whether an engine's complaint says that another has the port: a race, or a process of the host's own.
pub fn is_taken(complaint: &str) -> bool {
    ["port is already allocated", "address already in use", "ports are not available"].iter().any(|words| complaint.contains(words))
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
    fn engines_say_it_in_several_ways() {
        assert!(is_taken(
            "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:20000 failed: port is already allocated"
        ));
        assert!(is_taken("listen tcp4 127.0.0.1:20000: bind: address already in use"));
        assert!(!is_taken("no such image"));
    }
}
