//! What engines say of host ports that another has.

/// Whether an engine's complaint says that another has the port: a race, or a process of the host's own.
pub fn is_taken(complaint: &str) -> bool {
    ["port is already allocated", "address already in use", "ports are not available"].iter().any(|words| complaint.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_say_it_in_several_ways() {
        assert!(is_taken(
            "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:20000 failed: port is already allocated"
        ));
        assert!(is_taken("listen tcp4 127.0.0.1:20000: bind: address already in use"));
        assert!(!is_taken("no such image"));
    }
}
