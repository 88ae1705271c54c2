//! Deleting releases that nobody goes back to any more.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Find, Found};
use crate::model::{Container, ContainerName, ContainerState, Host, ProjectName, RunId, ServiceName, Version};

/// Deletes stopped releases of a service on a host, and those of their images that nothing else there uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prune {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The proxies that serve the service's containers on this host, for the guard.
    pub proxies: Vec<Host>,
    /// The releases' versions, the newest first.
    pub versions: Vec<Version>,
    /// Their containers.
    pub containers: Vec<ContainerName>,
    /// Their images, aside from those that the service's other containers have.
    pub images: Vec<OldImage>,
}

/// An image that a deleted container had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OldImage {
    /// Its reference.
    pub reference: String,
    /// Its content digest, empty where it is not known: what has the reference by now may be another image, which stays.
    pub digest: String,
}

/// What a prune leaves alone, whatever is old.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    /// Containers that an undo of the run could still need.
    pub containers: BTreeSet<ContainerName>,
    /// Images that the run has brought to hosts, by reference: a deploy that comes later may be of one.
    pub images: BTreeSet<String>,
}

/// What a prune deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// The images, by reference; those that something else uses are left out.
    pub images: Vec<String>,
}

impl Prune {
    /// What of a service is to be deleted on a host where this was found: every release but the newest `keep`, unless one of its
    /// containers runs, has traffic or a preview, is a dependency or is needed. `None` where that is nothing.
    pub fn beyond(keep: usize, find: Find, found: &Found, needed: &Needed) -> Option<Self> {
        let mut groups: BTreeMap<(&RunId, &Version), Vec<&Container>> = BTreeMap::new();
        for container in &found.containers {
            groups.entry((&container.run, &container.version)).or_default().push(container);
        }
        let mut releases: Vec<Vec<&Container>> = groups.into_values().collect();
        releases.sort_by(|one, other| age(other).cmp(&age(one)));
        let ends = |release: &&Vec<&Container>| {
            release.iter().all(|container| is_over(container, found) && !needed.containers.contains(&container.name))
        };
        let old: Vec<&Vec<&Container>> = releases.iter().skip(keep).filter(ends).collect();
        if old.is_empty() {
            return None;
        }
        let containers: Vec<ContainerName> =
            old.iter().flat_map(|release| release.iter().map(|container| container.name.clone())).collect();
        let stay = || found.containers.iter().filter(|container| !containers.contains(&container.name));
        let is_free = |reference: &str| !needed.images.contains(reference) && stay().all(|container| container.image != reference);
        let of_old = old.iter().flat_map(|release| release.iter());
        let images: BTreeSet<OldImage> = of_old
            .filter(|container| is_free(&container.image))
            .map(|container| OldImage { reference: container.image.clone(), digest: container.digest.clone() })
            .collect();
        let Find { host, project, service, proxies, .. } = find;
        let versions = old.iter().map(|release| release[0].version.clone()).collect();
        Some(Self { host, project, service, proxies, versions, containers, images: images.into_iter().collect() })
    }

    /// The first of its containers that does not end as it was found: it runs, has traffic, or must stay.
    pub fn obstacle<'a>(&self, found: &'a Found) -> Option<&'a Container> {
        found.containers.iter().find(|container| self.containers.contains(&container.name) && !is_over(container, found))
    }

    pub(super) fn describe(&self) -> String {
        let images = match self.images.len() {
            0 => String::new(),
            1 => ", and its image".into(),
            count => format!(", and {count} images"),
        };
        format!("{}{images}", self.releases())
    }

    /// The releases, to be read: `web v1, v2`.
    pub fn releases(&self) -> String {
        let versions: Vec<&str> = self.versions.iter().map(Version::as_str).collect();
        format!("{} {}", self.service, versions.join(", "))
    }

    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// What releases are ordered by: when the newest of its containers was made.
fn age<'a>(release: &[&'a Container]) -> Option<(&'a str, &'a RunId, &'a Version)> {
    release.iter().map(|container| (container.deployed_at.as_str(), &container.run, &container.version)).max()
}

/// Whether a container has stopped, and nothing leads to it.
fn is_over(container: &Container, found: &Found) -> bool {
    matches!(container.state, ContainerState::Stopped | ContainerState::Created)
        && !container.dependency
        && !found.weights.contains_key(&container.name)
        && !found.previews.contains_key(&container.name)
}
