//! Containers that calls in flight take out of proxies.

use std::sync::{Mutex, PoisonError};

use crate::model::{ContainerName, Host, HostName, ServiceName};

/// What side by side calls are about to take away: each looks at what is left without the others' containers too, or two
/// of them could leave a proxy with none.
#[derive(Default)]
pub struct Departures(Mutex<Vec<Departure>>);

#[derive(Clone)]
struct Departure {
    number: usize,
    proxies: Vec<HostName>,
    service: ServiceName,
    containers: Vec<ContainerName>,
}

/// A call's departure, until it is dropped.
pub struct Departing<'a> {
    departures: &'a Departures,
    number: usize,
    others: Vec<Departure>,
}

impl Departures {
    /// Announces one. It has to be announced before the tables are read that it is judged by: of two calls at least one
    /// then sees the other, here or in the table.
    pub fn announce(&self, proxies: &[Host], service: &ServiceName, containers: &[ContainerName]) -> Departing<'_> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.last().map_or(0, |last| last.number + 1);
        let others = all.clone();
        all.push(Departure {
            number,
            proxies: proxies.iter().map(|proxy| proxy.name.clone()).collect(),
            service: service.clone(),
            containers: containers.to_vec(),
        });
        Departing { departures: self, number, others }
    }
}

impl Departing<'_> {
    /// The containers of this service that others were taking out of this proxy when it was announced.
    pub fn others(&self, proxy: &HostName, service: &ServiceName) -> Vec<ContainerName> {
        let there = self.others.iter().filter(|other| other.service == *service && other.proxies.contains(proxy));
        there.flat_map(|other| other.containers.clone()).collect()
    }
}

impl Drop for Departing<'_> {
    fn drop(&mut self) {
        self.departures.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|departure| departure.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_is_seen_by_those_that_are_announced_while_it_lasts() {
        let proxy = Host::parse("lb").expect("valid");
        let service = ServiceName::new("web").expect("valid");
        let container = |name: &str| ContainerName::new(name).expect("valid");
        let (one, other) = (container("shop-web-v1-0123456789-1"), container("shop-web-v1-0123456789-2"));
        let departures = Departures::default();
        let first = departures.announce(std::slice::from_ref(&proxy), &service, std::slice::from_ref(&one));
        let second = departures.announce(std::slice::from_ref(&proxy), &service, std::slice::from_ref(&other));
        assert!(first.others(&proxy.name, &service).is_empty());
        assert_eq!(second.others(&proxy.name, &service), [one]);
        drop((first, second));
        assert!(departures.announce(&[], &service, &[]).others(&proxy.name, &service).is_empty());
    }
}
