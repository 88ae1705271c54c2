//! What traffic is lost when containers end, and how many serve over time: counted after each change where somebody wants to know.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    TrafficSeen, World,
    traffic::{LONGEST_REQUEST, RATE, in_flight, share},
};
use crate::{
    model::{ContainerName, HostName, Period, ServiceName},
    op::{Drain, Drained},
};

type Place = (HostName, ContainerName);

/// How many healthy containers of each service had traffic, and since when.
pub type Capacity = BTreeMap<ServiceName, Vec<(Period, usize)>>;

/// Requests that come to a container, or came until a moment ago.
#[derive(Clone, Debug)]
struct Flow {
    service: ServiceName,
    /// How many a second.
    rate: f64,
}

/// What is counted from one look at a world to the next.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// Running containers with traffic.
    flowing: BTreeMap<Place, Flow>,
    /// Running containers that have lost their traffic and may still be at a request, and since when.
    ebbing: BTreeMap<Place, (Period, Flow)>,
    dropped: BTreeMap<ServiceName, f64>,
    capacity: Capacity,
}

impl Losses {
    /// Counts from now on.
    pub fn of(world: &World) -> Self {
        let mut losses = Self::default();
        losses.look(world, world.clock());
        losses
    }

    /// Looks at the world after something has changed, at this time.
    pub fn look(&mut self, world: &World, now: Period) {
        let flowing = flowing(world);
        let runs = |(host, container): &Place| world.hosts.get(host).is_some_and(|host| host.runs(container));
        for (place, flow) in std::mem::replace(&mut self.flowing, flowing.clone()) {
            if flowing.contains_key(&place) {
                continue;
            }
            if runs(&place) {
                self.ebbing.insert(place, (now, flow));
            } else {
                self.drop(&flow.service, in_flight(flow.rate, Period::default()));
            }
        }
        for (place, (since, flow)) in std::mem::take(&mut self.ebbing) {
            let over = Period::milliseconds(now.as_milliseconds().saturating_sub(since.as_milliseconds()));
            if !runs(&place) {
                self.drop(&flow.service, in_flight(flow.rate, over));
            } else if over < LONGEST_REQUEST && !flowing.contains_key(&place) {
                self.ebbing.insert(place, (since, flow));
            }
        }
        let services: BTreeSet<ServiceName> =
            self.capacity.keys().cloned().chain(flowing.values().map(|flow| flow.service.clone())).collect();
        for service in services {
            let of_service = flowing.iter().filter(|(_, flow)| flow.service == service);
            let is_healthy = |(host, container): &Place| world.hosts.get(host).is_some_and(|host| host.is_healthy(container));
            let count = of_service.filter(|(place, _)| is_healthy(place)).count();
            let over_time = self.capacity.entry(service).or_default();
            if over_time.last().is_none_or(|(_, known)| *known != count) {
                over_time.push((now, count));
            }
        }
    }

    /// Takes note of a drain that ended: what it drained is at no request any more, and what it cut is lost, as is what takes longer
    /// than it may.
    pub fn drained(&mut self, drain: &Drain, drained: &Drained, now: Period) {
        let is_its = |(host, container): &Place| *host == drain.host.name && drain.containers.contains(container);
        let (over, ebbing) = std::mem::take(&mut self.ebbing).into_iter().partition(|(place, _)| is_its(place));
        self.ebbing = ebbing;
        for (since, flow) in BTreeMap::into_values(over) {
            let over = now.as_milliseconds().saturating_sub(since.as_milliseconds()) + drain.timeout.as_milliseconds();
            self.drop(&flow.service, in_flight(flow.rate, Period::milliseconds(over)));
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        self.drop(&drain.service, drained.cut as f64);
    }

    fn drop(&mut self, service: &ServiceName, requests: f64) {
        if requests > 0.0 {
            *self.dropped.entry(service.clone()).or_default() += requests;
        }
    }

    /// The traffic that a steady load has seen until now, with what was in flight when containers ended.
    pub fn traffic(&self, world: &World) -> TrafficSeen {
        let mut traffic = world.traffic();
        for (service, dropped) in &self.dropped {
            traffic.entry(service.clone()).or_default().dropped += dropped;
        }
        traffic
    }

    /// How many healthy containers of each service had traffic, and since when.
    pub const fn capacity(&self) -> &Capacity {
        &self.capacity
    }
}

/// The running containers that get traffic, by every proxy that has power.
fn flowing(world: &World) -> BTreeMap<Place, Flow> {
    let mut flowing: BTreeMap<Place, Flow> = BTreeMap::new();
    for table in world.hosts.values().filter(|host| !host.has_no_power).flat_map(|host| host.state.routes.values()) {
        let servers = table.servers();
        let total = servers.iter().map(|server| server.weight).sum();
        for server in servers {
            let container = &server.endpoint.container;
            if world.hosts.get(server.host).is_some_and(|host| host.runs(container)) {
                let flow = flowing.entry((server.host.clone(), container.clone()));
                flow.or_insert_with(|| Flow { service: table.service.clone(), rate: 0.0 }).rate += RATE * share(server.weight, total);
            }
        }
    }
    flowing
}
