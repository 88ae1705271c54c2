//! What a fleet has in common with another that came about otherwise: what runs and serves where, without names that a run makes up.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::model::{Container, ContainerState, HostName, HostState, ProjectName, RouteTable, RunId, ServiceName, Version};

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

    /// Of each service of which releases that this run has made serve beside other versions: which serves where. One without a proxy
    /// serves where its containers run.
    pub fn mixed(&self, run: &RunId) -> Vec<String> {
        let mut services: BTreeMap<(&ProjectName, &ServiceName), Serving<'_>> = BTreeMap::new();
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
        // A host that joins gets what the others have: that is one version.
        let versions = |serving: &Serving<'_>| serving.keys().map(|(_, version)| *version).collect::<BTreeSet<_>>().len();
        let is_mixed = |serving: &Serving<'_>| serving.keys().any(|(is_new, _)| *is_new) && versions(serving) > 1;
        let names = |hosts: &BTreeSet<&HostName>| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let told = |serving: Serving<'_>| {
            let each = serving.iter().rev().map(|((_, version), hosts)| format!("{version} serves on {}", names(hosts)));
            each.collect::<Vec<_>>().join("; ")
        };
        let mixed = services.into_iter().filter(|(_, serving)| is_mixed(serving));
        mixed.map(|((_, service), serving)| format!("{service}: {}", told(serving))).collect()
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

/// The releases that serve, by whether the run has made them, and where.
type Serving<'a> = BTreeMap<(bool, &'a Version), BTreeSet<&'a HostName>>;

fn lines(state: &HostState, run: &RunId, answers: bool) -> Vec<String> {
    let age = |of: &RunId| if of == run { "new" } else { "old" };
    let mut lines = Vec::new();
    for container in state.containers.values() {
        let how = if container.state == ContainerState::Stopped { "stopped" } else { "running" };
        lines.push(format!("{} {} ({}) {how}", container.service, container.version, age(&container.run)));
    }
    for table in state.routes.values() {
        for (host, share) in table.shares.iter().flat_map(|(host, shares)| shares.iter().map(move |share| (host, share))) {
            let (release, containers) = (&share.release, share.containers.len());
            let (version, weight) = (&release.version, share.weight);
            lines.push(format!(
                "{} {version} ({}) on {host} has weight {weight} with {containers} containers",
                table.service,
                age(&release.run)
            ));
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
