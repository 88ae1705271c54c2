//! The traffic that a steady load would have seen in a model.

use std::{collections::BTreeMap, sync::Arc};

use super::{ModelledHost, World};
use crate::model::{ContainerName, Host, HostName, Period, RouteTable, ServiceName};

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
    /// Lets time pass.
    pub(super) fn pass(&mut self, period: Period) {
        self.clock = Period::milliseconds(self.clock.as_milliseconds().saturating_add(period.as_milliseconds()));
    }

    /// Counts what the fronts have got so far that these hosts take part in, before something changes there: whoever has a fleet of a
    /// thousand hosts does not want them all counted at each op.
    pub(super) fn count(&mut self, changing: &[&Host]) {
        let is_changing = |host: &HostName| changing.iter().any(|changing| changing.name == *host);
        let concerned = |(name, host): (&HostName, &Arc<ModelledHost>)| {
            let serves = |table: &RouteTable| changing.iter().any(|changing| table.shares.contains_key(&changing.name));
            (is_changing(name) || host.state.routes.values().any(serves)).then(|| name.clone())
        };
        let fronts: Vec<HostName> = self.hosts.iter().filter_map(concerned).collect();
        let mut traffic = std::mem::take(&mut self.traffic);
        for name in fronts {
            self.add(&name, &mut traffic);
            let clock = self.clock;
            if let Some(host) = self.host_mut(&name) {
                host.counted = clock;
            }
        }
        self.traffic = traffic;
    }

    /// The traffic that a steady load would have seen.
    pub fn traffic(&self) -> TrafficSeen {
        let mut traffic = self.traffic.clone();
        for name in self.hosts.keys() {
            self.add(name, &mut traffic);
        }
        traffic
    }

    /// Adds what each front on this host got since it was counted last.
    fn add(&self, name: &HostName, traffic: &mut TrafficSeen) {
        let Some(host) = self.hosts.get(name) else { return };
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        let requests = (self.clock.as_milliseconds().saturating_sub(host.counted.as_milliseconds()) * RATE) as f64 / 1000.0;
        if requests == 0.0 {
            return;
        }
        for table in host.state.routes.values() {
            let seen = traffic.entry(table.service.clone()).or_default();
            let servers = table.servers();
            let total: u64 = servers.iter().map(|server| server.weight).sum();
            if total == 0 {
                seen.failed += requests;
            }
            for server in servers {
                #[expect(clippy::cast_precision_loss, reason = "weights are under a million")]
                let part = requests * server.weight as f64 / total as f64;
                if self.runs(table, &server.endpoint.container) {
                    *seen.answered.entry(server.release.version.to_string()).or_default() += part;
                } else {
                    seen.failed += part;
                }
            }
        }
    }

    /// Whether a container of this table runs, on one of the table's hosts.
    fn runs(&self, table: &RouteTable, name: &ContainerName) -> bool {
        let states = table.shares.keys().filter_map(|host| self.hosts.get(host));
        states.filter_map(|host| host.state.containers.get(name)).any(crate::model::Container::is_running)
    }
}
