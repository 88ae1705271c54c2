//! What a fleet has in common with another that came about otherwise: what runs and serves where, without names that a run makes up.

use std::collections::{BTreeMap, BTreeSet};

use super::{ModelledHost, World};
use crate::model::{Container, ContainerState, HostName, HostState, ProjectName, RouteTable, RunId, ServiceName, Share, Version};

/// What there is of a project's services on each host, and of what the script has done to a database or by a command, a line each, in
/// order; places with nothing are left out.
pub type Shape = BTreeMap<String, Vec<String>>;

impl World {
    /// Its shape, seen by this run: what the run has made is *new*. A container that crashed counts as one that runs, for nobody has
    /// stopped it. A lease on a host that does not answer is not seen: it runs out by itself.
    pub fn shape(&self, run: &RunId) -> Shape {
        let hosts = self.hosts.iter().map(|(name, host)| (name.to_string(), lines(&host.state, run, host.unreachable.is_none())));
        let mut shape: Shape = hosts.chain(self.schemas().map(|(name, lines)| (name.to_owned(), lines))).collect();
        for (place, line) in self.standing() {
            shape.entry(place).or_default().push(line);
        }
        shape.retain(|_, lines| !lines.is_empty());
        shape
    }

    /// Of each service of which releases that this run has made serve beside other versions: which serves where. So it is told where
    /// one version served in `before` and the run has brought another one back beside it. A service without a proxy serves where its
    /// containers run.
    pub fn mixed(&self, run: &RunId, before: &Self) -> Vec<String> {
        // A host that joins gets what the others have: that is one version.
        let versions = |serving: &Serving<'_>| serving.keys().map(|(_, version)| *version).collect::<BTreeSet<_>>().len();
        let was = before.serving(run);
        let was_one = |service: &Service<'_>| was.get(service).is_some_and(|serving| versions(serving) == 1);
        let is_mixed = |(service, serving): &(Service<'_>, Serving<'_>)| {
            versions(serving) > 1 && (serving.keys().any(|(is_new, _)| *is_new) || was_one(service))
        };
        let names = |hosts: &BTreeSet<&HostName>| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let told = |serving: Serving<'_>| {
            let each = serving.iter().rev().map(|((_, version), hosts)| format!("{version} serves on {}", names(hosts)));
            each.collect::<Vec<_>>().join("; ")
        };
        let mixed = self.serving(run).into_iter().filter(is_mixed);
        mixed.map(|((_, service), serving)| format!("{service}: {}", told(serving))).collect()
    }

    /// What serves of each service, and where.
    fn serving(&self, run: &RunId) -> BTreeMap<Service<'_>, Serving<'_>> {
        let mut services: BTreeMap<Service<'_>, Serving<'_>> = BTreeMap::new();
        for table in self.hosts.values().flat_map(|host| host.state.routes.values()) {
            let serving = services.entry((&table.project, &table.service)).or_default();
            for (host, share) in table.shares.iter().flat_map(|(host, shares)| shares.iter().map(move |share| (host, share))) {
                if share.weight > 0 {
                    serving.entry((share.release.run == *run, &share.release.version)).or_default().insert(host);
                }
            }
        }
        let has_routes: BTreeSet<_> = services.keys().copied().collect();
        for (host, container) in self.hosts.iter().flat_map(|(name, host)| host.state.containers.values().map(move |one| (name, one))) {
            let service = (&container.project, &container.service);
            if container.is_running() && !has_routes.contains(&service) {
                let serving = services.entry(service).or_default();
                serving.entry((container.run == *run, &container.version)).or_default().insert(host);
            }
        }
        services
    }

    /// The services without a proxy of which this run has started containers, and noted the deploy, and none runs.
    pub fn ended(&self, run: &RunId) -> Vec<String> {
        let (made, up) = (self.working(|_, one| one.run == *run), self.working(|_, one| one.state != ContainerState::Stopped));
        let is_noted = |service: &ServiceName| !self.noted(service, run).is_empty();
        made.keys().filter(|service| !up.contains_key(*service) && is_noted(service.1)).map(|(_, service)| service.to_string()).collect()
    }

    /// The containers that are so, serve, by traffic or without a proxy, and do not become healthy.
    pub fn sick(&self, are: impl Fn(&Container) -> bool) -> Vec<Container> {
        let ill = self.hosts.values().flat_map(|host| host.sick.iter().filter_map(|name| host.state.containers.get(name)));
        ill.filter(|one| are(one) && self.serves(one)).cloned().collect()
    }

    /// Whether a container runs, and has traffic or needs none.
    fn serves(&self, container: &Container) -> bool {
        let is_worker = || self.workers().any(|(_, worker)| worker.name == container.name);
        container.is_running() && (self.weight(&container.host, container) > 0 || is_worker())
    }

    /// The versions of a service that this run has noted as deployed, on whichever hosts.
    fn noted(&self, service: &ServiceName, run: &RunId) -> BTreeSet<&Version> {
        let histories = self.hosts.values().filter_map(|host| host.state.history.get(service));
        histories.flatten().filter(|entry| entry.run == *run).map(|entry| &entry.version).collect()
    }

    /// The releases that this run has noted as deployed, of services with a proxy that sends traffic to others only.
    pub fn noted_in_vain(&self, run: &RunId) -> Vec<String> {
        let mut vain = Vec::new();
        for (service, serving) in self.serving(run) {
            let noted = self.noted(service.1, run);
            let serves = |version: &&Version| serving.keys().any(|(_, serving)| serving == version);
            if !noted.is_empty() && !noted.iter().any(serves) {
                let versions = noted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                vain.push(format!("{} {versions}", service.1));
            }
        }
        vain
    }

    /// Whether containers of this run run of a service that no proxy has traffic for.
    pub fn runs_without_traffic(&self, project: &ProjectName, service: &ServiceName, run: &RunId) -> bool {
        let mut tables = self.hosts.values().filter_map(|host| host.state.routes.get(service));
        let mut containers = self.hosts.values().flat_map(|host| host.state.containers.values());
        let is_its = |one: &Container| one.project == *project && one.service == *service && one.run == *run && !one.dependency;
        containers.any(|one| is_its(one) && one.is_running()) && !tables.any(|table| table.project == *project && table.serves())
    }

    /// How many containers of each service without a proxy are so.
    pub(super) fn working(&self, are: impl Fn(&ModelledHost, &Container) -> bool) -> BTreeMap<Service<'_>, usize> {
        let mut counts = BTreeMap::new();
        for (_, one) in self.workers().filter(|(host, one)| are(host, one)) {
            *counts.entry((&one.project, &one.service)).or_default() += 1;
        }
        counts
    }

    /// The containers of services that no proxy knows, but for dependencies.
    fn workers(&self) -> impl Iterator<Item = (&ModelledHost, &Container)> {
        let tables = self.hosts.values().flat_map(|host| host.state.routes.values());
        let routed: BTreeSet<Service<'_>> = tables.map(|table| (&table.project, &table.service)).collect();
        let all = self.hosts.values().flat_map(|host| host.state.containers.values().map(move |one| (&**host, one)));
        all.filter(move |(_, one)| !one.dependency && !routed.contains(&(&one.project, &one.service)))
    }

    /// Hosts that this run has given an image of which containers run on others, and none there.
    pub fn bare(&self, run: &RunId) -> Vec<String> {
        let of_run = |host: &ModelledHost| {
            let made = host.state.containers.values().filter(|one| one.run == *run && !one.dependency);
            made.map(|one| one.image.clone()).collect::<BTreeSet<String>>()
        };
        let used: BTreeSet<String> = self.hosts.values().flat_map(|host| of_run(host)).collect();
        let has = |host: &ModelledHost, reference: &String| host.state.images.iter().any(|image| image.references.contains(reference));
        let is_bare = |name: &HostName, host: &ModelledHost, reference: &String| {
            !host.state.containers.values().any(|one| one.image == *reference) && has(host, reference) && !self.built_on(name, reference)
        };
        let bare = self.hosts.iter().flat_map(|(name, host)| {
            used.iter().filter(move |reference| is_bare(name, host, reference)).map(move |reference| format!("{reference} on {name}"))
        });
        bare.collect()
    }

    /// What this run has made, that serves and that it has not noted in its host's history, by release.
    pub fn unrecorded(&self, run: &RunId) -> Vec<String> {
        let mut unrecorded = BTreeSet::new();
        for (name, host) in &self.hosts {
            let are_new = |one: &&Container| one.run == *run && !one.dependency && self.serves(one);
            for one in host.state.containers.values().filter(are_new) {
                let history = host.state.history.get(&one.service);
                let is_noted = history.into_iter().flatten().any(|entry| entry.run == *run && entry.version == one.version);
                if !is_noted {
                    unrecorded.insert(format!("{} {} on {name}", one.service, one.version));
                }
            }
        }
        unrecorded.into_iter().collect()
    }

    /// Containers of services with a proxy that run and get no traffic, by host and release.
    pub fn idle(&self) -> Vec<String> {
        let is_routed = |container: &Container| {
            let is_its = |table: &RouteTable| table.project == container.project && table.service == container.service;
            self.hosts.values().flat_map(|host| host.state.routes.values()).any(is_its)
        };
        let mut idle: BTreeMap<(&HostName, &ServiceName, &Version), usize> = BTreeMap::new();
        for (name, host) in &self.hosts {
            for container in host.state.containers.values().filter(|one| one.is_running() && is_routed(one)) {
                if self.weight(name, container) == 0 {
                    *idle.entry((name, &container.service, &container.version)).or_default() += 1;
                }
            }
        }
        let told = |((host, service, version), count)| format!("{count} × {service} {version} on {host}");
        idle.into_iter().map(told).collect()
    }
}

/// A service of a project.
type Service<'a> = (&'a ProjectName, &'a ServiceName);

/// The releases that serve, by whether the run has made them, and where.
type Serving<'a> = BTreeMap<(bool, &'a Version), BTreeSet<&'a HostName>>;

fn lines(state: &HostState, run: &RunId, answers: bool) -> Vec<String> {
    let age = |of: &RunId| if of == run { "new" } else { "old" };
    let mut lines = Vec::new();
    for container in state.containers.values() {
        let how = if container.state == ContainerState::Stopped { "stopped" } else { "running" };
        let what = if container.dependency { " dependency" } else { "" };
        lines.push(format!("{} {} ({}{what}) {how}", container.service, container.version, age(&container.run)));
    }
    for table in state.routes.values() {
        if !table.is_empty() {
            lines.push(format!("{} is reached by {}", table.service, table.front));
        }
        for (host, shares) in &table.shares {
            // A release that is alone has all, whatever its weight.
            let all: u64 = shares.iter().map(|share| share.weight).sum();
            for Share { release, weight, containers } in shares {
                let (service, version, age, containers) = (&table.service, &release.version, age(&release.run), containers.len());
                let part = parts_of_100(*weight, all);
                lines.push(format!("{service} {version} ({age}) on {host} has weight {part} with {containers} containers"));
            }
        }
        for (host, preview) in table.previews.iter().flat_map(|(host, previews)| previews.iter().map(move |preview| (host, preview))) {
            let (version, age) = (&preview.release.version, age(&preview.release.run));
            lines.push(format!("{} {version} ({age}) on {host} is previewed by {}", table.service, preview.mark));
        }
    }
    for (service, entries) in &state.history {
        lines.extend(entries.iter().map(|entry| format!("{service} {} ({}) is in the history", entry.version, age(&entry.run))));
    }
    if answers {
        let own = state.leases.values().filter(|lease| lease.run == *run);
        lines.extend(own.map(|lease| format!("{} is leased", lease.service)));
    }
    lines.sort();
    lines
}

/// A weight among all of its host, in hundredths.
fn parts_of_100(weight: u64, all: u64) -> String {
    let thousandths = u128::from(weight) * 100_000 / u128::from(all.max(1));
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How one shape differs from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The host, or the database.
    pub place: String,
    /// What is there.
    pub line: String,
    /// Whether it is missing, or else too much.
    pub is_missing: bool,
}

impl Difference {
    /// Whether it is a dependency that this run has started: nothing takes that back.
    pub fn is_new_dependency(&self) -> bool {
        !self.is_missing && self.line.contains(" (new dependency) ")
    }
}

/// How one shape differs from another, by place.
pub fn differences(found: &Shape, expected: &Shape) -> Vec<Difference> {
    let mut all = Vec::new();
    let places: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for place in places {
        let none = Vec::new();
        let (found, expected) = (found.get(place).unwrap_or(&none), expected.get(place).unwrap_or(&none));
        let difference = |is_missing| move |line| Difference { place: place.clone(), line, is_missing };
        all.extend(beyond(found, expected).into_iter().map(difference(false)));
        all.extend(beyond(expected, found).into_iter().map(difference(true)));
    }
    all
}

/// Differences in words, alike ones once.
pub fn told(differences: &[Difference]) -> Vec<String> {
    let mut counted: Vec<(&Difference, usize)> = Vec::new();
    for difference in differences {
        match counted.iter_mut().find(|(known, _)| *known == difference) {
            Some((_, count)) => *count += 1,
            None => counted.push((difference, 1)),
        }
    }
    let word = |(Difference { place, line, is_missing }, count): (&Difference, usize)| {
        let times = if count > 1 { format!("{count} × ") } else { String::new() };
        format!("{} {place}: {times}{line}", if *is_missing { "-" } else { "+" })
    };
    counted.into_iter().map(word).collect()
}

/// The lines that are in `lines` more often than in `known`.
fn beyond(lines: &[String], known: &[String]) -> Vec<String> {
    let mut left = known.to_vec();
    let mut more = Vec::new();
    for line in lines {
        match left.iter().position(|known| known == line) {
            Some(index) => drop(left.swap_remove(index)),
            None => more.push(line.clone()),
        }
    }
    more
}
