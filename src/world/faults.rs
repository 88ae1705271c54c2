//! What befalls a modelled fleet from outside: hosts that are cut off or lose their power, containers that fall ill or crash.

use std::collections::BTreeMap;

use super::{ModelledHost, World};
use crate::{
    failure::{Failure, FailureKind},
    model::{Container, ContainerName, ContainerState, Host, HostName, Lease, Period, RunId, ServiceName},
    op::{Find, Op},
};

impl World {
    /// Lets time pass while nothing is done.
    pub fn wait(&mut self, period: Period) {
        self.pass(period);
    }

    /// Cuts a host off: it works on, and nobody reaches it.
    pub fn cut_off(&mut self, host: &HostName) {
        let failure = Failure::new(FailureKind::Unreachable, format!("{host} does not answer")).on(host);
        self.insert_unreachable(host, failure);
    }

    /// Takes a host's power away: what runs there has ended, and nobody reaches it.
    pub fn power_off(&mut self, host: &HostName) {
        self.count(|name| name == host, self.clock);
        self.cut_off(host);
        if let Some(known) = self.host_mut(host) {
            known.has_no_power = true;
            for container in known.state.containers.values_mut().filter(|container| container.is_running()) {
                container.state = ContainerState::Restarting;
            }
        }
    }

    /// Whether this run has this lease.
    pub fn has_lease(&self, host: &HostName, service: &ServiceName, run: &RunId) -> bool {
        self.hosts.get(host).and_then(|known| known.state.leases.get(service)).is_some_and(|lease| lease.run == *run)
    }

    /// Gives a lease to another run, which is at work there.
    pub fn occupy(&mut self, host: &HostName, lease: Lease) {
        let clock = self.clock;
        if let Some(known) = self.host_mut(host) {
            known.renewed.insert(lease.service.clone(), clock);
            known.state.leases.insert(lease.service.clone(), lease);
        }
    }

    /// Another run has come to its end, and gives its lease back.
    pub fn vacate(&mut self, host: &HostName, service: &ServiceName, run: &RunId) {
        if let Some(known) = self.host_mut(host) {
            known.state.leases.retain(|_, lease| lease.service != *service || lease.run != *run);
        }
    }

    /// The other run that has the lease which this run needs for this op.
    pub fn held_by_another(&self, op: &Op, run: &RunId) -> Option<&Lease> {
        let (_, service, hosts) = op.leased()?;
        let leases = hosts.into_iter().filter_map(|host| self.hosts.get(&host.name)?.state.leases.get(service));
        leases.into_iter().find(|lease| lease.run != *run)
    }

    /// Brings a host back that was cut off or had no power until then. What ran there runs again, where its restart policy does not say
    /// `no`; what was stopped stays so.
    pub fn bring_back(&mut self, host: &HostName, then: Period) {
        self.count(|name| name == host, then);
        if let Some(known) = self.host_mut(host) {
            known.unreachable = None;
            known.has_no_power = false;
            let stays_down = &known.stays_down;
            let is_down = |container: &Container| container.state == ContainerState::Restarting && !stays_down.contains(&container.name);
            for container in known.state.containers.values_mut().filter(|container| is_down(container)) {
                container.state = ContainerState::Running;
            }
        }
    }

    /// Makes containers fail their health checks from now on.
    pub fn sicken(&mut self, host: &HostName, containers: &[ContainerName]) {
        self.count(|name| name == host, self.clock);
        if let Some(known) = self.host_mut(host) {
            known.sick.extend(containers.iter().cloned());
        }
    }

    /// Makes containers pass their health checks again, from then on.
    pub fn cure(&mut self, host: &HostName, containers: &[ContainerName], then: Period) {
        self.count(|name| name == host, then);
        if let Some(known) = self.host_mut(host) {
            known.sick.retain(|sick| !containers.contains(sick));
        }
    }

    /// Makes every container of a host pass its health checks again, and has somebody start what its restart policy left down.
    pub fn cure_all(&mut self, host: &HostName) {
        self.count(|name| name == host, self.clock);
        if let Some(known) = self.host_mut(host) {
            known.sick.clear();
            for container in known.state.containers.values_mut().filter(|container| container.state == ContainerState::Restarting) {
                container.state = ContainerState::Running;
            }
        }
    }

    /// Lets containers crash; their engine tries in vain to keep them up.
    pub fn crash(&mut self, host: &HostName, containers: &[ContainerName]) {
        self.count(|name| name == host, self.clock);
        if let Some(known) = self.host_mut(host) {
            for (_, container) in known.state.containers.iter_mut().filter(|(name, _)| containers.contains(name)) {
                container.state = ContainerState::Restarting;
            }
        }
    }

    /// The containers of this run that have traffic, by host.
    pub fn serving_of(&self, run: &RunId) -> BTreeMap<HostName, Vec<ContainerName>> {
        let mut serving: BTreeMap<HostName, Vec<ContainerName>> = BTreeMap::new();
        for (name, host) in &self.hosts {
            let are_its = |one: &&Container| one.run == *run && self.weight(name, one) > 0;
            let containers: Vec<ContainerName> = host.state.containers.values().filter(are_its).map(|one| one.name.clone()).collect();
            serving.insert(name.clone(), containers);
        }
        serving.retain(|_, containers| !containers.is_empty());
        serving
    }

    /// Deletes the first container that this read is about, as somebody does by hand; returns what it was.
    pub fn delete(&mut self, op: &Op) -> Option<Container> {
        let on = &op.host()?.name;
        self.count(|name| name == on, self.clock);
        let host = self.host_mut(on)?;
        let of_service = |container: &Container, find: &Find| container.service == find.service && container.project == find.project;
        let name = match op {
            Op::CheckNow(op) => op.containers.first()?.clone(),
            Op::Find(find) => host.state.containers.values().find(|one| one.is_running() && of_service(one, find))?.name.clone(),
            _ => return None,
        };
        host.state.containers.remove(&name)
    }

    /// The first of these hosts that does not answer, and how it fails.
    pub fn unreachable(&self, hosts: &[&Host]) -> Option<Failure> {
        hosts.iter().find_map(|host| self.hosts.get(&host.name)?.unreachable.clone())
    }
}

impl ModelledHost {
    /// Whether a container runs.
    pub(super) fn runs(&self, container: &ContainerName) -> bool {
        self.state.containers.get(container).is_some_and(Container::is_running)
    }

    /// Whether a container runs and is well.
    pub(super) fn is_healthy(&self, container: &ContainerName) -> bool {
        !self.sick.contains(container) && self.runs(container)
    }
}
