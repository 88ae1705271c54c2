//! Refuses what would drop requests, by facts that are read immediately before.
//!
//! The rules hold on every fleet, real or modelled: the facts come from the executor within.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde::de::DeserializeOwned;

use super::{
    Call, Executor, Outcome,
    ages::Ages,
    departures::{Departing, Departures},
    fronts::{Fronts, Purpose, Wanted},
    needed::Needed,
};
use crate::{
    failure::Failure,
    model::{Container, ContainerName, Host, HostName, HostState, OwnNetwork, ProjectName, RouteTable, ServiceName, Share},
    op::{
        CheckNow, CheckedContainer, Drain, Find, Found, Op, Operation, Preview, Prune, Remove, SetWeights, Sought, Start, Stop, Survey,
        TestWeights,
    },
};

/// Checks every changing op before the executor within does it.
pub struct Guard<E> {
    inner: E,
    /// Containers that lost their traffic in this run and were not drained since.
    undrained: Mutex<BTreeSet<(HostName, ContainerName)>>,
    /// Containers that this run has started and not health-checked since.
    unchecked: Mutex<BTreeSet<(HostName, ContainerName)>>,
    fronts: Fronts,
    departures: Departures,
    needed: Needed,
    /// How old versions are, compared with others.
    ages: Ages,
}

impl<E: Executor> Guard<E> {
    /// Guards `inner`.
    pub fn new(inner: E) -> Self {
        Self {
            inner,
            undrained: Mutex::new(BTreeSet::new()),
            unchecked: Mutex::new(BTreeSet::new()),
            fronts: Fronts::default(),
            departures: Departures::default(),
            needed: Needed::default(),
            ages: Ages::default(),
        }
    }

    /// Says whether a release may be deployed that is older than what is live.
    #[must_use]
    pub fn allowing_older(mut self, allowed: bool) -> Self {
        self.ages = Ages::new(allowed);
        self
    }

    /// The executor within.
    pub fn into_inner(self) -> E {
        self.inner
    }

    /// Reads a fact.
    fn read<O: Operation>(&self, call: &Call, op: O) -> Result<O::Output, Failure>
    where
        O::Output: DeserializeOwned,
    {
        let outcome = self.inner.perform(&call.with(op))?;
        outcome.value.read().map_err(|error| Failure::failed(format!("a fact could not be read: {error}")))
    }

    fn survey(&self, call: &Call, host: &Host, project: &ProjectName) -> Result<HostState, Failure> {
        self.read(call, Survey { host: host.clone(), project: project.clone() })
    }

    fn find(&self, call: &Call, host: &Host, project: &ProjectName, service: &ServiceName, proxies: &[Host]) -> Result<Found, Failure> {
        let op = Find {
            host: host.clone(),
            project: project.clone(),
            service: service.clone(),
            proxies: proxies.to_vec(),
            sought: Sought::Weights,
        };
        self.read(call, op)
    }

    /// What is assumed about a service's fronts, where none is another's.
    fn fronts_are_free(&self, call: &Call, op: &Start) -> Result<Vec<String>, Failure> {
        let mut assumed = Vec::new();
        for proxy in op.service.proxies(std::slice::from_ref(&op.host)) {
            let (service, front) = (&op.service.name, &op.service.front());
            let wanted = Wanted { proxy, project: &op.project, service, front };
            assumed.extend(self.fronts.are_free(&wanted, Purpose::Start, || self.survey(call, proxy, &op.project))?);
        }
        Ok(assumed)
    }

    /// The same for a service whose traffic is changed: what is to have none at a proxy takes no front there.
    fn front_is_free<S>(&self, call: &Call, wanted: &Wanted<'_>, changes: &BTreeMap<HostName, Vec<S>>) -> Result<Option<String>, Failure> {
        // What is taken back had its front; whether it can have it again its proxy says.
        if call.key.is_undo() || changes.values().all(Vec::is_empty) {
            return Ok(None);
        }
        self.fronts.are_free(wanted, Purpose::Traffic, || self.survey(call, wanted.proxy, wanted.project))
    }

    /// A proxy in a container that has a network of its own reaches nothing on the host's loopback addresses.
    fn own_networks_reach(&self, op: &Start) -> Result<(), Failure> {
        let Start { host, service, .. } = op;
        if OwnNetwork::reaches(&host.bind) {
            return Ok(());
        }
        let network = self.fronts.network(service.proxies(std::slice::from_ref(host)), &service.name);
        network.map_or(Ok(()), |network| {
            let message = format!(
                "nginx in the container {} could not reach {} on {}: its containers would listen on {}",
                network.container, service.name, host.name, host.bind
            );
            Err(Failure::refused(message).on(&host.name).hint(network.advice()))
        })
    }

    /// Returns what is assumed about it.
    fn start(&self, call: &Call, op: &Start) -> Result<Vec<String>, Failure> {
        reachable_from_its_proxies(op)?;
        let proxies = op.service.proxies(std::slice::from_ref(&op.host));
        let found = self.find(call, &op.host, &op.project, &op.service.name, proxies)?;
        if let Some(container) = found.containers.iter().find(|container| container.dependency) {
            return Err(Failure::refused(format!(
                "{} is a dependency on {} ({}): a deploy never replaces it",
                op.service.name, op.host.name, container.name
            ))
            .on(&op.host.name)
            .hint("`dependency` finds it and starts it again; to replace it, `stop` and `remove` it with `allow_downtime: true` first"));
        }
        let mut assumed = self.fronts_are_free(call, op)?;
        self.own_networks_reach(op)?;
        assumed.extend(self.ages.is_not_older(op, &found, |compare| self.read(call, compare))?);
        Ok(assumed)
    }

    /// Traffic goes only to containers that are healthy now, and a proxy keeps at least one.
    fn set_weights(&self, call: &Call, op: &SetWeights) -> Result<Option<Departing<'_>>, Failure> {
        let mut losing = Vec::new();
        let mut lost_all = false;
        for host in &op.hosts {
            let found = self.find(call, host, &op.project, &op.service, std::slice::from_ref(&op.proxy))?;
            let shares = op.changes.get(&host.name).map_or(&[][..], Vec::as_slice);
            let wanted = served(shares);
            losing.extend(
                found
                    .weights
                    .keys()
                    .filter(|container| !wanted.contains(container))
                    .map(|container| (host.name.clone(), container.clone())),
            );
            lost_all |= wanted.is_empty() && !found.weights.is_empty();
            // Whoever allows downtime has not said that what does not run by now gets its traffic back.
            let runs = |one: &Container| one.is_up() && wanted.contains(&one.name);
            if call.key.is_undo() && !wanted.is_empty() && !found.containers.iter().any(runs) {
                return Err(Failure::refused(format!(
                    "{} gets no traffic back on {}: nothing that had it runs there",
                    op.service, host.name
                ))
                .on(&host.name)
                .hint("what serves now goes on serving; `podlift ps` shows what runs"));
            }
            if op.allow_downtime || wanted.is_empty() {
                continue;
            }
            let gaining: Vec<ContainerName> =
                wanted.iter().filter(|container| !found.weights.contains_key(**container)).map(|container| (*container).clone()).collect();
            self.was_checked(host, &gaining)?;
            self.all_healthy(call, host, &op.project, gaining)?;
            // What is given back by an undo had it before.
            for share in growing(shares, &found).filter(|_| !call.key.is_undo()) {
                self.any_healthy(call, host, op, share)?;
            }
        }
        let mut departing = None;
        if lost_all && !op.allow_downtime {
            let leaving: Vec<ContainerName> = losing.iter().map(|(_, container)| container.clone()).collect();
            let announced = self.departures.announce(std::slice::from_ref(&op.proxy), &op.service, &leaving);
            let table = self.survey(call, &op.proxy, &op.project)?.routes.remove(&op.service);
            let others = announced.others(&op.proxy.name, &op.service);
            if !table.is_some_and(|table| table.with(&op.changes).serves_without(&others)) {
                return Err(Failure::nothing_left(&op.service, &op.proxy.name));
            }
            departing = Some(announced);
        }
        lock(&self.undrained).extend(losing);
        Ok(departing)
    }

    /// Who tests a release by a preview is to meet one that answers.
    fn preview(&self, call: &Call, op: &Preview) -> Result<(), Failure> {
        for host in &op.hosts {
            let previews = op.changes.get(&host.name).into_iter().flatten();
            let gaining: Vec<ContainerName> =
                previews.flat_map(|preview| &preview.containers).map(|endpoint| endpoint.container.clone()).collect();
            self.was_checked(host, &gaining)?;
            self.all_healthy(call, host, &op.project, gaining)?;
        }
        Ok(())
    }

    /// What this run has started has passed its health check before it gets traffic: right after a start a single look says
    /// nothing, neither in a model nor on a host.
    fn was_checked(&self, host: &Host, gaining: &[ContainerName]) -> Result<(), Failure> {
        let unchecked = lock(&self.unchecked);
        match gaining.iter().find(|container| unchecked.contains(&(host.name.clone(), (*container).clone()))) {
            Some(container) => Err(Failure::refused(format!("{container} on {} was not health-checked since it was started", host.name))
                .on(&host.name)
                .hint("call `healthcheck` on the release before `set_weights`; `allow_downtime: true` sends traffic to it all the same")),
            None => Ok(()),
        }
    }

    fn all_healthy(&self, call: &Call, host: &Host, project: &ProjectName, containers: Vec<ContainerName>) -> Result<(), Failure> {
        if containers.is_empty() {
            return Ok(());
        }
        let checked: Vec<CheckedContainer> = self.read(call, CheckNow { host: host.clone(), project: project.clone(), containers })?;
        let sick: Vec<&CheckedContainer> = checked.iter().filter(|container| !container.healthy).collect();
        let Some(first) = sick.first() else { return Ok(()) };
        let message = match sick.len() {
            1 => format!("{} on {} must not get traffic: it is not healthy", first.container, host.name),
            count => format!("{count} containers on {} must not get traffic: they are not healthy", host.name),
        };
        let failure = Failure::refused(message)
            .on(&host.name)
            .hint("call `healthcheck` on the release before `set_weights`; `allow_downtime: true` sends traffic to it all the same");
        Err(sick.iter().fold(failure, |failure, container| failure.detail(container.container.to_string(), &container.answer)))
    }

    /// What has traffic, and is to have more of it, may have died since it was looked at.
    fn any_healthy(&self, call: &Call, host: &Host, op: &SetWeights, share: &Share) -> Result<(), Failure> {
        let containers: Vec<ContainerName> = share.containers.iter().map(|endpoint| endpoint.container.clone()).collect();
        let checked: Vec<CheckedContainer> = self.read(call, CheckNow { host: host.clone(), project: op.project.clone(), containers })?;
        if checked.iter().any(|container| container.healthy) {
            return Ok(());
        }
        let message =
            format!("{} {} on {} must not get more traffic: no container of it is healthy", op.service, share.release.version, host.name);
        let failure = Failure::refused(message)
            .on(&host.name)
            .hint("let the run fail, so that what served before gets it back; `allow_downtime: true` sends traffic to it all the same");
        Err(checked.iter().fold(failure, |failure, container| failure.detail(container.container.to_string(), &container.answer)))
    }

    fn drain(&self, call: &Call, op: &Drain) -> Result<Option<Departing<'_>>, Failure> {
        if op.allow_downtime {
            return Ok(None);
        }
        let announced = self.departures.announce(&op.proxies, &op.service, &op.containers);
        for proxy in &op.proxies {
            let found = self.find(call, &op.host, &op.project, &op.service, std::slice::from_ref(proxy))?;
            if !op.containers.iter().any(|container| found.weights.contains_key(container)) {
                continue;
            }
            let table: Option<RouteTable> = self.survey(call, proxy, &op.project)?.routes.remove(&op.service);
            let leaving = [op.containers.clone(), op.others.clone(), announced.others(&proxy.name, &op.service)].concat();
            if table.is_some_and(|table| !table.serves_without(&leaving)) {
                return Err(Failure::nothing_left(&op.service, &proxy.name));
            }
        }
        Ok(Some(announced))
    }

    /// What gets traffic, or may still have a request in flight, is not ended. Returns those that run.
    fn ending(&self, call: &Call, ending: &Ending<'_>) -> Result<Vec<ContainerName>, Failure> {
        if ending.allow_downtime {
            return Ok(Vec::new());
        }
        let hint = "give it weight 0 with `set_weights`, then `drain` it; `allow_downtime: true` ends it all the same";
        let found = self.find(call, ending.host, ending.project, ending.service, ending.proxies)?;
        if let Some(known) = found.containers.iter().find(|known| known.dependency && ending.containers.contains(&known.name)) {
            return Err(Failure::refused(format!("{} on {} is a dependency: a deploy never ends it", known.name, ending.host.name))
                .on(&ending.host.name)
                .hint("`allow_downtime: true` ends it all the same; its volumes stay"));
        }
        if let Some((container, marks)) = found.previews.iter().find(|(container, _)| ending.containers.contains(container)) {
            return Err(Failure::refused(format!("{container} on {} can still be reached by `{}`", ending.host.name, marks.join("`, `")))
                .on(&ending.host.name)
                .hint("`drain` it: that ends its preview too; `allow_downtime: true` ends it all the same"));
        }
        if let Some(container) = ending.containers.iter().find(|container| found.weights.contains_key(*container)) {
            return Err(Failure::refused(format!("{container} on {} still gets traffic", ending.host.name))
                .on(&ending.host.name)
                .hint(hint));
        }
        let undrained = lock(&self.undrained);
        let waiting = ending.containers.iter().find(|container| undrained.contains(&(ending.host.name.clone(), (*container).clone())));
        if let Some(container) = waiting {
            return Err(Failure::refused(format!("{container} on {} was not drained: requests to it may be in flight", ending.host.name))
                .on(&ending.host.name)
                .hint(hint));
        }
        let running = found.containers.into_iter().filter(Container::is_running).map(|container| container.name.clone());
        Ok(running.filter(|name| ending.containers.contains(name)).collect())
    }

    /// Only what has stopped is deleted.
    fn prune(&self, call: &Call, op: &Prune) -> Result<(), Failure> {
        let found = self.find(call, &op.host, &op.project, &op.service, &op.proxies)?;
        match op.obstacle(&found) {
            Some(container) => Err(Failure::refused(format!("{} on {} is in use again", container.name, op.host.name)).on(&op.host.name)),
            None => Ok(()),
        }
    }

    /// What a call that was done means for those to come.
    fn learn(&self, call: &Call, outcome: &Outcome) {
        self.needed.learn(call, &outcome.inverse);
        match &*call.op {
            Op::Drain(op) => {
                lock(&self.undrained).retain(|(host, container)| *host != op.host.name || !op.containers.contains(container));
            }
            Op::Start(op) => {
                let started: Vec<Container> = outcome.value.read().unwrap_or_default();
                self.fronts.note(&op.host.name, &started);
                lock(&self.unchecked).extend(started.iter().map(|container| (op.host.name.clone(), container.name.clone())));
            }
            Op::Depend(op) => self.fronts.note(&op.host.name, &outcome.value.read::<Vec<Container>>().unwrap_or_default()),
            Op::StartAgain(op) => {
                self.fronts.note(&op.host.name, &outcome.value.read::<Vec<Container>>().unwrap_or_default());
                lock(&self.unchecked).extend(op.containers.iter().map(|container| (op.host.name.clone(), container.clone())));
            }
            Op::Commit(_) => self.needed.commit(call),
            Op::Healthcheck(op) => {
                lock(&self.unchecked).retain(|(host, container)| *host != op.host.name || !op.containers.contains(container));
            }
            _ => {}
        }
    }
}

impl<E: Executor> Executor for Guard<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        let (mut departing, mut assumed) = (None, Vec::new());
        match &*call.op {
            Op::Start(op) => assumed = self.start(call, op)?,
            Op::TestWeights(TestWeights { proxy, project, service, front, changes }) => {
                assumed.extend(self.front_is_free(call, &Wanted { proxy, project, service, front }, changes)?);
            }
            Op::SetWeights(op) => {
                let SetWeights { proxy, project, service, front, changes, .. } = op;
                assumed.extend(self.front_is_free(call, &Wanted { proxy, project, service, front }, changes)?);
                departing = self.set_weights(call, op)?;
            }
            Op::Preview(op) => {
                let Preview { proxy, project, service, front, changes, .. } = op;
                assumed.extend(self.front_is_free(call, &Wanted { proxy, project, service, front }, changes)?);
                self.preview(call, op)?;
            }
            Op::Drain(op) => departing = self.drain(call, op)?,
            Op::Stop(Stop { host, project, service, containers, proxies, allow_downtime, .. })
            | Op::Remove(Remove { host, project, service, containers, proxies, allow_downtime }) => {
                let ending = Ending { host, project, service, containers, proxies, allow_downtime: *allow_downtime };
                let running = self.ending(call, &ending)?;
                if let Op::Remove(op) = &*call.op {
                    self.needed.may_be_deleted(call, op, &running)?;
                }
            }
            Op::Prune(op) => self.prune(call, op)?,
            _ => {}
        }
        let outcome = self.inner.perform(call).inspect_err(|failure| self.needed.learn(call, &failure.inverse))?;
        drop(departing);
        self.learn(call, &outcome);
        Ok(outcome.assuming_all(assumed))
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        if let Op::SetWeights(op) = &*call.op {
            let before = outcome.inverse.iter().filter_map(|inverse| match inverse {
                Op::SetWeights(inverse) => Some(&inverse.changes),
                _ => None,
            });
            let losing = before.flatten().flat_map(|(host, shares)| {
                let kept = served(op.changes.get(host).map_or(&[][..], Vec::as_slice));
                served(shares).into_iter().filter(move |name| !kept.contains(name)).map(|name| (host.clone(), name.clone()))
            });
            lock(&self.undrained).extend(losing);
        }
        self.learn(call, outcome);
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }
}

/// The containers that get traffic by these shares.
fn served(shares: &[Share]) -> BTreeSet<&ContainerName> {
    let serving = shares.iter().filter(|share| share.weight > 0);
    serving.flat_map(|share| share.containers.iter().map(|endpoint| &endpoint.container)).collect()
}

/// The shares of containers that have traffic already which are to have a larger part of their host's.
fn growing<'a>(shares: &'a [Share], found: &'a Found) -> impl Iterator<Item = &'a Share> {
    let release = |name: &ContainerName| found.containers.iter().find(|one| one.name == *name).map(|one| (&one.run, &one.version));
    let before: BTreeMap<_, u64> = found.weights.iter().map(|(name, weight)| (release(name), *weight)).collect();
    let sum = |weights: &mut dyn Iterator<Item = u64>| weights.map(u128::from).sum::<u128>();
    let (all_before, all) = (sum(&mut before.values().copied()), sum(&mut shares.iter().map(|share| share.weight)));
    shares.iter().filter(move |share| {
        let known = share.containers.iter().map(|endpoint| found.weights.get(&endpoint.container).copied());
        let Some(was) = known.min().flatten() else { return false };
        u128::from(share.weight) * all_before > u128::from(was) * all
    })
}

/// A container that is published on a loopback address, or on all of them (`0.0.0.0`), has none that another host reaches it by.
fn reachable_from_its_proxies(op: &Start) -> Result<(), Failure> {
    let Start { host, service, .. } = op;
    let elsewhere = service.proxies(std::slice::from_ref(host)).iter().find(|proxy| proxy.name != host.name);
    match elsewhere.filter(|_| !OwnNetwork::reaches(&host.bind)) {
        Some(proxy) => Err(Failure::refused(format!(
            "the proxy on {} could not reach {} on {}: its containers would listen on {}",
            proxy.name, service.name, host.name, host.bind
        ))
        .on(&host.name)
        .hint(format!("say on which private address they listen: host(\"{}\", #{{ bind: \"10.0.0.11\" }})", host.address()))),
        None => Ok(()),
    }
}

/// What `stop` and `remove` have in common.
struct Ending<'a> {
    host: &'a Host,
    project: &'a ProjectName,
    service: &'a ServiceName,
    containers: &'a [ContainerName],
    proxies: &'a [Host],
    allow_downtime: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
