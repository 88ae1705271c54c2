//! What engines say of host ports.

use bollard::models::{ContainerSummary, PortSummaryTypeEnum};

use super::labels;

/// The TCP ports of its host that a container has, with the address: those that it publishes, else that which podlift gave it, which
/// it keeps while it is stopped, and has on the host's network.
pub fn of(container: &ContainerSummary) -> Vec<(String, u16)> {
    let published = container.ports.iter().flatten().filter(|port| port.typ == Some(PortSummaryTypeEnum::TCP));
    let published: Vec<(String, u16)> =
        published.filter_map(|port| Some((port.ip.clone().unwrap_or_default(), port.public_port?))).collect();
    if !published.is_empty() {
        return published;
    }
    let given = container.labels.as_ref().and_then(|labels| labels.get(labels::PORT)?.parse().ok());
    given.map(|port| (String::new(), port)).into_iter().collect()
}

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
