//! The containers of one deploy of one service.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    container::{Container, ContainerState},
    host::Host,
    image::Image,
    name::{ContainerName, HostName, RunId, Version},
    service::Service,
};

/// What makes two containers parts of one release: the same run, version and image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseId {
    /// The run that made it.
    pub run: RunId,
    /// Its version.
    pub version: Version,
}

/// Containers of one service: one deploy's, or a group of several that was found together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The service.
    pub service: Service,
    /// The hosts that its containers are on, in the script's order.
    pub hosts: Vec<Host>,
    /// Its containers as they were found, by host and replica.
    pub containers: Vec<Container>,
    /// The weight that each container's own release had on its host when it was found; containers without are left out.
    #[serde(default)]
    pub weights: BTreeMap<ContainerName, u64>,
}

impl Release {
    /// The release of these containers, or `None` where there are none.
    pub fn of(
        service: &Service,
        hosts: &[Host],
        mut containers: Vec<Container>,
        mut weights: BTreeMap<ContainerName, u64>,
    ) -> Option<Self> {
        let place = |name: &HostName| hosts.iter().position(|host| &host.name == name);
        containers.retain(|container| place(&container.host).is_some());
        if containers.is_empty() {
            return None;
        }
        containers.sort_by_key(|container| (place(&container.host), container.replica, container.name.clone()));
        let present: BTreeSet<&HostName> = containers.iter().map(|container| &container.host).collect();
        let hosts = hosts.iter().filter(|host| present.contains(&host.name)).cloned().collect();
        weights.retain(|name, weight| *weight > 0 && containers.iter().any(|container| container.name == *name));
        Some(Self { service: service.clone(), hosts, containers, weights })
    }

    /// The version, or `None` where the group is mixed.
    pub fn version(&self) -> Option<&Version> {
        let mut versions = self.containers.iter().map(|container| &container.version);
        let first = versions.next()?;
        versions.all(|version| version == first).then_some(first)
    }

    /// All versions in it, sorted.
    pub fn versions(&self) -> BTreeSet<&Version> {
        self.containers.iter().map(|container| &container.version).collect()
    }

    /// The run that made it, or `None` where several did.
    pub fn run(&self) -> Option<&RunId> {
        let mut runs = self.containers.iter().map(|container| &container.run);
        let first = runs.next()?;
        runs.all(|run| run == first).then_some(first)
    }

    /// Its image, or `None` where the group is mixed.
    pub fn image(&self) -> Option<Image> {
        let first = self.containers.first()?;
        let same = self.containers.iter().all(|container| container.image == first.image && container.digest == first.digest);
        same.then(|| Image {
            reference: first.image.clone(),
            digest: first.digest.clone(),
            version: first.version.clone(),
            registry_digest: None,
        })
    }

    /// `running`, `stopped`, or `mixed` where some of its containers run and some do not.
    pub fn state(&self) -> &'static str {
        let running = self.containers.iter().filter(|container| container.state == ContainerState::Running).count();
        match running {
            0 => "stopped",
            count if count == self.containers.len() => "running",
            _ => "mixed",
        }
    }

    /// The sum of its weights over its hosts, as found. On a host, containers of one deploy share one weight.
    pub fn weight(&self) -> u64 {
        let mut deploys = BTreeMap::new();
        for container in &self.containers {
            let weight = self.weights.get(&container.name).copied().unwrap_or(0);
            let known: &mut u64 = deploys.entry((&container.host, &container.run, &container.version)).or_default();
            *known = weight.max(*known);
        }
        deploys.values().sum()
    }

    /// The part on these hosts, or `None`.
    #[must_use]
    pub fn on(&self, hosts: &[Host]) -> Option<Self> {
        let wanted: BTreeSet<&HostName> = hosts.iter().map(|host| &host.name).collect();
        self.part(|container| wanted.contains(&container.host))
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for container in &other.containers {
            if !sum.containers.iter().any(|known| known.host == container.host && known.name == container.name) {
                sum.containers.push(container.clone());
            }
        }
        for host in &other.hosts {
            if !sum.hosts.iter().any(|known| known.name == host.name) {
                sum.hosts.push(host.clone());
            }
        }
        for (container, weight) in &other.weights {
            sum.weights.entry(container.clone()).or_insert(*weight);
        }
        sum
    }

    /// What is left without the other's containers, or `None`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Option<Self> {
        self.part(|container| !other.containers.iter().any(|known| known.host == container.host && known.name == container.name))
    }

    /// One release for each container.
    pub fn each(&self) -> Vec<Self> {
        self.containers.iter().filter_map(|one| self.part(|container| container.host == one.host && container.name == one.name)).collect()
    }

    fn part(&self, keep: impl Fn(&Container) -> bool) -> Option<Self> {
        let containers: Vec<_> = self.containers.iter().filter(|container| keep(container)).cloned().collect();
        let hosts: Vec<_> =
            self.hosts.iter().filter(|host| containers.iter().any(|container| container.host == host.name)).cloned().collect();
        let mut weights = self.weights.clone();
        weights.retain(|name, _| containers.iter().any(|container| container.name == *name));
        (!containers.is_empty()).then(|| Self { service: self.service.clone(), hosts, containers, weights })
    }
}
