//! Ops that replace something.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Op;
use crate::model::{Front, Host, HostName, Mark, Preview as Previewed, ProjectName, RouteTable, RunId, ServiceName, Share, Version};

/// Replaces the shares of the named hosts in a proxy's table; other hosts' entries stay. In force when it returns: new
/// requests go by the new table, and no old worker takes any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetWeights {
    /// The proxy's host.
    pub proxy: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The front that clients reach it by.
    pub front: Front,
    /// The new shares, by the containers' host; an empty list takes a host out.
    pub changes: BTreeMap<HostName, Vec<Share>>,
    /// The containers' hosts: those that `changes` names.
    pub hosts: Vec<Host>,
    /// Whether the script takes responsibility for what the guard would refuse.
    #[serde(default)]
    pub allow_downtime: bool,
    /// Whether a table that has nothing to say any more is taken away, and the service's front is free again.
    #[serde(default)]
    pub removes_empty: bool,
}

impl SetWeights {
    /// What takes it back: the shares that the table before it gave the named hosts. A service that had no traffic then may have
    /// none again, and one that the proxy did not know is not known to it afterwards.
    pub fn inverse(&self, before: Option<&RouteTable>) -> Op {
        let shares = |host: &HostName| before.and_then(|table| table.shares.get(host)).cloned().unwrap_or_default();
        let changes: BTreeMap<_, _> = self.changes.keys().map(|host| (host.clone(), shares(host))).collect();
        let had_none = !before.is_some_and(RouteTable::serves);
        let front = before.map_or_else(|| self.front.clone(), |table| table.front.clone());
        let allow_downtime = self.allow_downtime || had_none;
        Self { changes, front, allow_downtime, removes_empty: before.is_none(), ..self.clone() }.into()
    }
    pub(super) fn describe(&self) -> String {
        describe_shares(&self.service, &self.changes)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.proxy)
    }
}

/// Writes and tests what [`SetWeights`] would put in force, then puts the old file back: so that of several proxies none
/// switches unless all can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestWeights {
    /// The proxy's host.
    pub proxy: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The front that clients reach it by.
    pub front: Front,
    /// The new shares.
    pub changes: BTreeMap<HostName, Vec<Share>>,
}

impl TestWeights {
    pub(super) fn describe(&self) -> String {
        describe_shares(&self.service, &self.changes)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.proxy)
    }
}

fn describe_shares(service: &ServiceName, changes: &BTreeMap<HostName, Vec<Share>>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (host, shares) in changes {
        let serving: Vec<_> = shares.iter().filter(|share| share.weight > 0).collect();
        let sum: u64 = serving.iter().map(|share| share.weight).sum();
        #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
        let of_host: Vec<String> = serving
            .iter()
            .map(|share| {
                let percent = share.weight as f64 * 100.0 / sum as f64;
                format!("{} {}%", share.release.version, (percent * 10.0).round() / 10.0)
            })
            .collect();
        let text = if of_host.is_empty() { "nothing".into() } else { of_host.join(", ") };
        parts.push(format!("{host}: {text}"));
    }
    format!("{service} ({})", parts.join("; "))
}

/// Lets requests with a mark reach a release at a proxy, whatever its weight. In force when it returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// The proxy's host.
    pub proxy: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The front that clients reach it by, where the proxy has none of it yet.
    pub front: Front,
    /// What such requests carry.
    pub mark: Mark,
    /// What they reach, by the containers' host; an empty list ends the preview there.
    pub changes: BTreeMap<HostName, Vec<Previewed>>,
    /// The containers' hosts: those that `changes` names.
    pub hosts: Vec<Host>,
    /// Whether a table that has nothing to say any more is taken away, and the service's front is free again.
    #[serde(default)]
    pub removes_empty: bool,
}

impl Preview {
    /// What takes it back: what the mark led to before it. A service that the proxy did not know is not known to it afterwards.
    pub fn inverse(&self, before: Option<&RouteTable>) -> Op {
        let led = |host: &HostName| -> Vec<Previewed> {
            let previews = before.and_then(|table| table.previews.get(host)).into_iter().flatten();
            previews.filter(|preview| preview.mark == self.mark).cloned().collect()
        };
        let changes = self.changes.keys().map(|host| (host.clone(), led(host))).collect();
        Self { changes, removes_empty: before.is_none(), ..self.clone() }.into()
    }

    pub(super) fn describe(&self) -> String {
        let versions: BTreeSet<&str> = self.changes.values().flatten().map(|preview| preview.release.version.as_str()).collect();
        if versions.is_empty() {
            return format!("{} by `{}` ends", self.service, self.mark);
        }
        format!("{} {} by `{}`", self.service, versions.into_iter().collect::<Vec<_>>().join(", "), self.mark)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.proxy)
    }
}

/// Notes a deploy in a host's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The version.
    pub version: Version,
    /// The image's reference.
    pub image: String,
}

impl Record {
    /// What takes it back: its own entry goes.
    pub fn inverse(&self, run: &RunId) -> Op {
        let Self { host, project, service, version, .. } = self.clone();
        Forget { host, project, service, run: run.clone(), version }.into()
    }
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.service, self.version)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// Takes a run's entry out of a host's history: the inverse of [`Record`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forget {
    /// The host.
    pub host: Host,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The run.
    pub run: RunId,
    /// The version.
    pub version: Version,
}

impl Forget {
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.service, self.version)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}
