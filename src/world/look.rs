//! What a script's own invariants see of a fleet.

use serde_json::{Map, Value, json};

use super::{Seen, World, losses::Losses};
use crate::model::{Period, RunId};

impl World {
    /// Hosts, and services with their containers and requests, as plain data, and the seconds since `began`. What `run` has made is new.
    pub fn look(&self, run: &RunId, began: Period, losses: &Losses) -> Value {
        let mut hosts = Map::new();
        let mut services: Map<String, Value> = Map::new();
        for (name, host) in &self.hosts {
            hosts.insert(name.to_string(), json!({ "reachable": host.unreachable.is_none() }));
            for container in host.state.containers.values() {
                let weight = self.weight(name, container);
                let service = services
                    .entry(container.service.to_string())
                    .or_insert_with(|| json!({ "containers": [], "serving": 0, "requests": Seen::default().rounded() }));
                let is_healthy = host.is_healthy(&container.name);
                if is_healthy && weight > 0 {
                    service["serving"] = (service["serving"].as_u64().unwrap_or_default() + 1).into();
                }
                if let Some(containers) = service["containers"].as_array_mut() {
                    containers.push(json!({
                        "name": container.name, "host": name, "version": container.version, "is_new": container.run == *run,
                        "state": container.state.word(), "healthy": is_healthy, "weight": weight,
                    }));
                }
            }
        }
        for (service, seen) in losses.traffic(self) {
            if let Some(service) = services.get_mut(service.as_str()) {
                service["requests"] = seen.rounded();
            }
        }
        let seconds = self.clock.duration().saturating_sub(began.duration()).as_secs_f64();
        json!({ "seconds": seconds, "hosts": hosts, "services": services })
    }

    /// The largest weight that a proxy gives a container's release.
    pub(super) fn weight(&self, host: &crate::model::HostName, container: &crate::model::Container) -> u64 {
        let tables = self.hosts.values().filter_map(|known| known.state.routes.get(&container.service));
        tables.map(|table| table.weight_of(host, &container.name)).max().unwrap_or_default()
    }

    /// Takes all leases away, as if their runs had ended.
    pub fn free(&mut self) {
        for host in self.hosts.values_mut() {
            super::changed(host).state.leases.clear();
        }
    }
}
