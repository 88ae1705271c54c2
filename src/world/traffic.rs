//! The traffic that a steady load would have seen in a model.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{ModelledHost, World};
use crate::model::{HostName, Period, RouteTable, ServiceName};

/// Requests a second that each proxy gets for each of its services.
pub(super) const RATE: f64 = 100.0;

/// How long requests take, and which part of all takes so long.
const LATENCIES: [(Period, f64); 4] =
    [(Period::milliseconds(50), 0.5), (Period::milliseconds(200), 0.4), (Period::seconds(1), 0.09), (LONGEST_REQUEST, 0.01)];

/// How long the longest request takes: so long after a container has lost its traffic it may still be at one.
pub const LONGEST_REQUEST: Period = Period::seconds(10);

/// How many of so many requests a second are still in flight so long after the last one came.
pub(super) fn in_flight(rate: f64, since: Period) -> f64 {
    let left = |takes: Period| takes.duration().saturating_sub(since.duration()).as_secs_f64();
    LATENCIES.iter().map(|(takes, part)| rate * part * left(*takes)).sum()
}

/// What the load saw, by service.
pub type TrafficSeen = BTreeMap<ServiceName, Seen>;

/// What the load saw of one service: numbers of requests, on average.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Those that a healthy container answered, by version.
    pub answered: BTreeMap<String, f64>,
    /// Those that were in flight when their container ended.
    pub dropped: f64,
    /// Those that no container took.
    pub refused: f64,
    /// Those that a container got which is not healthy.
    pub misrouted: f64,
}

impl Seen {
    /// Those that got no answer of a healthy container.
    pub fn lost(&self) -> f64 {
        self.dropped + self.refused + self.misrouted
    }

    /// Whole numbers: what is lost is rounded up, so that 0 is none.
    pub fn rounded(&self) -> Value {
        let answered: BTreeMap<&String, u64> = self.answered.iter().map(|(version, count)| (version, whole(count.round()))).collect();
        let [dropped, refused, misrouted] = [self.dropped, self.refused, self.misrouted].map(|count| whole(count.ceil()));
        json!({ "answered": answered, "dropped": dropped, "refused": refused, "misrouted": misrouted })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are positive and far smaller")]
const fn whole(count: f64) -> u64 {
    count as u64
}

impl World {
    /// Lets time pass.
    pub(super) fn pass(&mut self, period: Period) {
        self.clock = Period::milliseconds(self.clock.as_milliseconds().saturating_add(period.as_milliseconds()));
    }

    /// Counts traffic from now on.
    pub fn count_afresh(&mut self) {
        self.traffic.clear();
        let clock = self.clock;
        for host in self.hosts.values_mut() {
            super::changed(host).counted = clock;
        }
    }

    /// Counts what the fronts have got until `now` that these hosts take part in, before something changes there: whoever has a fleet
    /// of a thousand hosts does not want them all counted at each op.
    pub(super) fn count(&mut self, is_changing: impl Fn(&HostName) -> bool, now: Period) {
        let concerned = |(name, host): (&HostName, &Arc<ModelledHost>)| {
            let serves = |table: &RouteTable| table.shares.keys().any(&is_changing);
            (is_changing(name) || host.state.routes.values().any(serves)).then(|| name.clone())
        };
        let fronts: Vec<HostName> = self.hosts.iter().filter_map(concerned).collect();
        let mut traffic = std::mem::take(&mut self.traffic);
        for name in fronts {
            self.add(&name, now, &mut traffic);
            if let Some(host) = self.host_mut(&name) {
                host.counted = host.counted.max(now);
            }
        }
        self.traffic = traffic;
    }

    /// The traffic that a steady load would have seen. What it had in flight when containers ended is known to whoever looks after each
    /// change.
    pub fn traffic(&self) -> TrafficSeen {
        let mut traffic = self.traffic.clone();
        for name in self.hosts.keys() {
            self.add(name, self.clock, &mut traffic);
        }
        traffic
    }

    /// Adds what each front on this host got since it was counted last.
    fn add(&self, name: &HostName, now: Period, traffic: &mut TrafficSeen) {
        let Some(host) = self.hosts.get(name) else { return };
        let requests = now.duration().saturating_sub(host.counted.duration()).as_secs_f64() * RATE;
        if requests == 0.0 {
            return;
        }
        for table in host.state.routes.values() {
            let seen = traffic.entry(table.service.clone()).or_default();
            let servers = table.servers();
            if servers.is_empty() || host.has_no_power {
                seen.refused += requests;
                continue;
            }
            let total: u64 = servers.iter().map(|server| server.weight).sum();
            for server in servers {
                let part = requests * share(server.weight, total);
                let on = self.hosts.get(server.host);
                if on.is_some_and(|on| on.is_healthy(&server.endpoint.container)) {
                    *seen.answered.entry(server.release.version.to_string()).or_default() += part;
                } else if on.is_some_and(|on| on.runs(&server.endpoint.container)) {
                    seen.misrouted += part;
                } else {
                    seen.refused += part;
                }
            }
        }
    }
}

/// The part of the whole that this weight is.
#[expect(clippy::cast_precision_loss, reason = "weights are under a million")]
pub(super) fn share(weight: u64, total: u64) -> f64 {
    weight as f64 / total as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_ago_the_traffic_ended_the_fewer_requests_are_in_flight() {
        let counts = [0, 100, 900, 9_000, 10_000].map(|since| in_flight(100.0, Period::milliseconds(since)));
        assert!(counts.is_sorted_by(|more, fewer| more > fewer), "{counts:?}");
        assert!((counts[0] - 29.5).abs() < 0.001, "{counts:?}");
        assert!((counts[3] - 1.0).abs() < 0.001 && counts[4] == 0.0, "{counts:?}");
        assert!((LATENCIES.iter().map(|(_, part)| part).sum::<f64>() - 1.0).abs() < 0.001, "they are parts of all");
    }

    #[test]
    fn what_is_lost_is_rounded_up() {
        let seen = Seen { answered: BTreeMap::from([("v1".into(), 2.4)]), dropped: 0.1, refused: 0.0, misrouted: 3.0 };
        assert_eq!(seen.rounded(), json!({ "answered": { "v1": 2 }, "dropped": 1, "refused": 0, "misrouted": 3 }));
    }
}
