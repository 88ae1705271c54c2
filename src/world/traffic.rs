//! The traffic that a steady load would have seen in a model.

use std::collections::BTreeMap;

use super::World;
use crate::model::{ContainerName, HostName, HostState, Period, ServiceName};

/// Requests a second that each proxy's front gets.
const RATE: u64 = 100;

/// What the load saw, by service.
pub type TrafficSeen = BTreeMap<ServiceName, Seen>;

/// What the load saw of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Requests that a running container answered, by version.
    pub answered: BTreeMap<String, f64>,
    /// Requests that nothing could answer.
    pub failed: f64,
}

impl World {
    /// Lets time pass: each front that is in a proxy's table gets its requests.
    pub(super) fn pass(&mut self, period: Period) {
        self.clock = Period::milliseconds(self.clock.as_milliseconds().saturating_add(period.as_milliseconds()));
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        let requests = (period.as_milliseconds() * RATE) as f64 / 1000.0;
        if requests == 0.0 {
            return;
        }
        let states: BTreeMap<&HostName, &HostState> = self.hosts.iter().map(|(name, host)| (name, &host.state)).collect();
        let mut traffic = std::mem::take(&mut self.traffic);
        for table in states.values().flat_map(|state| state.routes.values()) {
            let seen = traffic.entry(table.service.clone()).or_default();
            let servers = table.servers();
            let total: u64 = servers.iter().map(|server| server.weight).sum();
            if total == 0 {
                seen.failed += requests;
            }
            for server in servers {
                #[expect(clippy::cast_precision_loss, reason = "weights are under a million")]
                let part = requests * server.weight as f64 / total as f64;
                if runs(&states, &server.endpoint.container) {
                    *seen.answered.entry(server.release.version.to_string()).or_default() += part;
                } else {
                    seen.failed += part;
                }
            }
        }
        self.traffic = traffic;
    }
}

fn runs(states: &BTreeMap<&HostName, &HostState>, name: &ContainerName) -> bool {
    states.values().filter_map(|state| state.containers.get(name)).any(crate::model::Container::is_running)
}
