//! The host's ports that podlift gives to containers.

use std::{collections::BTreeSet, ops::RangeInclusive};

use bollard::models::ContainerSummary;

use super::labels;

/// Below the ports that Linux takes for outgoing connections (32768 and up), above those of usual services.
pub const RANGE: RangeInclusive<u16> = 20000..=29999;

/// The ports that containers have: published ones, and those that stopped containers of podlift's come back to.
pub fn taken(containers: &[ContainerSummary]) -> BTreeSet<u16> {
    let published = containers.iter().flat_map(|container| container.ports.iter().flatten()).filter_map(|port| port.public_port);
    let labelled =
        containers.iter().filter_map(|container| container.labels.as_ref()?.get(labels::PORT)).filter_map(|port| port.parse().ok());
    published.chain(labelled).collect()
}

/// The lowest port of the range that nobody has.
pub fn pick(taken: &BTreeSet<u16>) -> Option<u16> {
    RANGE.into_iter().find(|port| !taken.contains(port))
}

/// Whether an engine's words mean that somebody else has the port: another container, or a program on the host.
pub fn is_taken(words: &str) -> bool {
    words.contains("port is already allocated") || words.contains("address already in use")
}

#[cfg(test)]
mod tests {
    use bollard::models::PortSummary;

    use super::*;

    #[test]
    fn the_lowest_free_port_is_picked() {
        let published = ContainerSummary {
            ports: Some(vec![PortSummary { public_port: Some(20000), ..PortSummary::default() }]),
            ..ContainerSummary::default()
        };
        let stopped =
            ContainerSummary { labels: Some([(labels::PORT.to_owned(), "20001".to_owned())].into()), ..ContainerSummary::default() };
        assert_eq!(pick(&taken(&[published, stopped])), Some(20002));
        assert_eq!(pick(&RANGE.collect()), None);
    }

    #[test]
    fn both_engines_words_are_known() {
        assert!(is_taken("Bind for 127.0.0.1:20000 failed: port is already allocated"));
        assert!(is_taken("listen tcp4 127.0.0.1:20000: bind: address already in use"));
        assert!(!is_taken("no such image"));
    }
}
