//! The network of a proxy that runs in a container.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::route::{Endpoint, RouteTable};

/// A proxy's network where it is its container's own: what listens on the host's loopback addresses is not reached from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnNetwork {
    /// The container that the proxy runs in.
    pub container: String,
    /// The host's address in it, where Docker tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

impl OwnNetwork {
    /// Whether what listens on this address of the host is reached from there. Nobody knows of a name.
    pub fn reaches(address: &str) -> bool {
        address.parse::<IpAddr>().map_or(address != "localhost", |address| !address.is_loopback() && !address.is_unspecified())
    }

    /// The first container of a table that is not reached from there.
    pub fn out_of_reach(table: &RouteTable) -> Option<&Endpoint> {
        let shared = table.shares.values().flatten().flat_map(|share| &share.containers);
        let mut containers = shared.chain(table.previews.values().flatten().flat_map(|preview| &preview.containers));
        containers.find(|endpoint| !Self::reaches(&endpoint.address))
    }

    /// What to do where something is not reached.
    pub fn advice(&self) -> String {
        let bind = self.gateway.as_ref().map_or_else(|| "an address that it reaches".into(), |gateway| format!("{gateway:?}"));
        format!("start the container {} with `--network host`, or give the host `bind: {bind}`", self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_host_itself_reaches_is_out_of_reach() {
        for address in ["127.0.0.1", "127.8.0.1", "::1", "0.0.0.0", "::", "localhost"] {
            assert!(!OwnNetwork::reaches(address), "{address}");
        }
        for address in ["172.17.0.1", "10.0.0.11", "fd00::1"] {
            assert!(OwnNetwork::reaches(address), "{address}");
        }
    }

    #[test]
    fn the_advice_names_the_gateway_where_it_is_known() {
        let own = OwnNetwork { container: "edge".into(), gateway: Some("172.17.0.1".into()) };
        assert_eq!(own.advice(), "start the container edge with `--network host`, or give the host `bind: \"172.17.0.1\"`");
        assert!(OwnNetwork { gateway: None, ..own }.advice().ends_with("`bind: an address that it reaches`"));
    }
}
