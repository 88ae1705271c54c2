//! What a fleet has in common with another that came about otherwise: what runs and serves where, without names that a run makes up.

use std::collections::BTreeMap;

use super::World;
use crate::model::{ContainerState, HostName, HostState, RunId};

/// What there is of a project's services on each host, a line each, in order; hosts with nothing are left out.
pub type Shape = BTreeMap<HostName, Vec<String>>;

impl World {
    /// Its shape, seen by this run: what the run has made is *new*. A container that crashed counts as one that runs, for nobody has
    /// stopped it. A lease on a host that does not answer is not seen: it runs out by itself.
    pub fn shape(&self, run: &RunId) -> Shape {
        let hosts = self.hosts.iter().map(|(name, host)| (name.clone(), lines(&host.state, run, host.unreachable.is_none())));
        hosts.filter(|(_, lines)| !lines.is_empty()).collect()
    }
}

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
        lines.extend(state.leases.keys().map(|service| format!("{service} is leased")));
    }
    lines.sort();
    lines
}

/// How one shape differs from another, a line each: `host: what is missing or too much`.
pub fn differences(found: &Shape, expected: &Shape) -> Vec<String> {
    let mut told = Vec::new();
    let hosts: std::collections::BTreeSet<&HostName> = found.keys().chain(expected.keys()).collect();
    for host in hosts {
        let none = Vec::new();
        let (found, expected) = (found.get(host).unwrap_or(&none), expected.get(host).unwrap_or(&none));
        told.extend(beyond(found, expected).into_iter().map(|line| format!("{host}: {line}")));
        told.extend(beyond(expected, found).into_iter().map(|line| format!("{host}: not {line}")));
    }
    told
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
