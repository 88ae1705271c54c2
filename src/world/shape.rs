//! What a fleet has in common with another that came about otherwise: what runs and serves where, without names that a run makes up.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::model::{ContainerState, HostState, RunId};

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
        let own = state.leases.values().filter(|lease| lease.run == *run);
        lines.extend(own.map(|lease| format!("{} is leased", lease.service)));
    }
    lines.sort();
    lines
}

/// How one shape differs from another, a line each: `place: what is missing or too much`.
pub fn differences(found: &Shape, expected: &Shape) -> Vec<String> {
    let mut told = Vec::new();
    let places: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for place in places {
        let none = Vec::new();
        let (found, expected) = (found.get(place).unwrap_or(&none), expected.get(place).unwrap_or(&none));
        told.extend(beyond(found, expected).into_iter().map(|line| format!("{place}: {line}")));
        told.extend(beyond(expected, found).into_iter().map(|line| format!("{place}: not {line}")));
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
